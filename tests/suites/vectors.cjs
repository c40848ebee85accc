// The packets of mqtt-packet's own tests, sent to a server: what its parser refuses must end the connection, what it reads
// must not. `tests/run suites` calls it with MOTET_BIN; vectors.exceptions has what is left out, each with its reason.
'use strict'
const assert = require('node:assert/strict')
const { spawn } = require('node:child_process')
const fs = require('node:fs')
const Module = require('node:module')
const net = require('node:net')
const os = require('node:os')
const path = require('node:path')

const NODE = process.env.SUITE_NODE ?? path.join(__dirname, '../interop/node')
const ANSWER_MS = 5000
const START_MS = 15000
// Beyond this the package tests its own buffers.
const BYTES_MAX = 1 << 20
const FROM_SERVER = ['connack', 'suback', 'unsuback', 'pingresp']

/** Every call of a parser that the package's tests make: title, version, bytes, and the packets or the error that came. */
function collect () {
  const file = require.resolve('mqtt-packet/test.js', { paths: [NODE] })
  const load = Module._load
  const vectors = []
  let title = ''
  const silent = new Proxy(() => undefined, { get: () => () => undefined })
  const tape = (name, body) => {
    title = name
    try { body(silent) } catch { /* an assertion of theirs about something else */ }
  }
  Module._load = function (request, parent, isMain) {
    if (request === 'tape') return tape
    const loaded = load.call(this, request, parent, isMain)
    if (parent?.filename !== file || request !== './') return loaded
    return { ...loaded, parser: options => watch(loaded.parser(options), options) }
  }
  function watch (parser, options) {
    const vector = { title, version: options?.protocolVersion ?? 4, pieces: [], read: [], error: null }
    vectors.push(vector)
    parser.on('packet', packet => vector.read.push(packet))
    parser.on('error', error => { vector.error = error.message })
    const parse = parser.parse.bind(parser)
    parser.parse = bytes => {
      vector.pieces.push(bytes)
      return parse(bytes)
    }
    return parser
  }
  require(file)
  Module._load = load
  const seen = new Set()
  return vectors.map(({ pieces, ...vector }) => ({ ...vector, bytes: Buffer.concat(pieces) })).filter(vector => {
    if (vector.bytes.length > BYTES_MAX) return false
    const key = vector.version + vector.bytes.toString('hex')
    return vector.bytes.length > 0 && (vector.error || vector.read.length > 0) && !seen.has(key) && seen.add(key)
  })
}

/** Connects, sends, and collects bytes until `done(bytes)` or the end; resolves to [bytes, closed]. */
function talk (port, pieces, done) {
  return new Promise((resolve, reject) => {
    const socket = net.connect(port, '127.0.0.1')
    let got = Buffer.alloc(0)
    const timer = setTimeout(() => finish(false), ANSWER_MS)
    function finish (closed) {
      clearTimeout(timer)
      socket.destroy()
      resolve([got, closed])
    }
    socket.on('connect', () => { for (const piece of pieces) socket.write(piece) })
    socket.on('data', bytes => {
      got = Buffer.concat([got, bytes])
      if (done(got)) finish(false)
    })
    socket.on('end', () => finish(true))
    socket.on('error', error => error.code === 'ECONNREFUSED' ? reject(error) : finish(true))
  })
}

/** The bytes that a vector needs before it: a CONNECT, unless it is one itself. */
function connect (version) {
  const { generate } = require(require.resolve('mqtt-packet', { paths: [NODE] }))
  const protocol = version === 3 ? { protocolId: 'MQIsdp', protocolVersion: 3 } : { protocolId: 'MQTT', protocolVersion: version }
  const properties = version === 5 ? { properties: { receiveMaximum: 10 } } : {}
  return generate({ cmd: 'connect', clientId: 'vector', clean: true, keepalive: 0, ...protocol, ...properties })
}

/** What is wrong with how the server takes a vector, or null. */
async function verdict (port, vector) {
  const first = vector.read[0]?.cmd
  const isConnect = vector.bytes[0] >> 4 === 1
  if (!vector.error && isConnect) {
    const [got] = await talk(port, [vector.bytes], got => got.length >= 4)
    const refused = first && got[0] === 0x20 && [0x81, 0x82].includes(got[3])
    return got[0] === 0x20 && !refused ? null : `answered by ${got.toString('hex') || 'nothing'}`
  }
  const before = isConnect ? [] : [connect(vector.version)]
  const ping = Buffer.from([0xc0, 0])
  const pong = got => got.subarray(-2).equals(Buffer.from([0xd0, 0]))
  const [got, closed] = await talk(port, [...before, vector.bytes, ping], pong)
  const ends = vector.error || FROM_SERVER.includes(first) || first === 'disconnect' || first === 'auth'
  if (ends) return closed ? null : `the connection goes on: ${got.toString('hex')}`
  return pong(got) ? null : `the connection ends: ${got.toString('hex')}`
}

async function start (folder) {
  const config = path.join(folder, 'motet.toml')
  fs.writeFileSync(config, `data_dir = ${JSON.stringify(folder + '/data')}\n[[listener]]\naddress = "127.0.0.1:0"\nprotocol = "mqtt"\n`)
  const environment = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('MOTET_')))
  const server = spawn(path.resolve(process.env.MOTET_BIN), ['--config', config], { env: environment, stdio: 'ignore' })
  for (const begun = Date.now(); Date.now() - begun < START_MS;) {
    try {
      const [{ address }] = JSON.parse(fs.readFileSync(folder + '/data/ports.json'))
      return [server, Number(address.split(':').pop())]
    } catch { await new Promise(resolve => setTimeout(resolve, 20)) }
  }
  server.kill('SIGKILL')
  throw new Error('the server did not start')
}

function exceptions () {
  const lines = fs.readFileSync(path.join(__dirname, 'vectors.exceptions'), 'utf8').split('\n')
  return new Map(lines.filter(line => line && !line.startsWith('#')).map(line => {
    const [, title, reason] = line.match(/^(.*?) => (.+)$/) ?? assert.fail(`vectors.exceptions: \`${line}\` has no reason`)
    return [title, reason]
  }))
}

async function main () {
  const vectors = collect()
  assert.ok(vectors.length > 100, `${vectors.length} vectors: has mqtt-packet changed?`)
  const known = exceptions()
  const unknown = [...known.keys()].filter(title => !vectors.some(vector => vector.title === title))
  assert.deepEqual(unknown, [], 'vectors.exceptions names what is not there')
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'motet-vectors-'))
  const [server, port] = await start(folder)
  const failed = []
  let ran = 0
  for (const vector of vectors.filter(vector => !known.has(vector.title))) {
    ran++
    const wrong = await verdict(port, vector)
    if (wrong) failed.push(`${vector.title} (${vector.error ?? vector.read[0].cmd}, version ${vector.version}) ${vector.bytes.subarray(0, 60).toString('hex')}: ${wrong}`)
  }
  server.kill('SIGKILL')
  fs.rmSync(folder, { recursive: true, force: true })
  for (const line of failed) console.log(line)
  console.log(`mqtt-packet: ${ran - failed.length} of ${ran} vectors passed, ${vectors.length - ran} not run`)
  process.exit(failed.length ? 1 : 0)
}

main()
