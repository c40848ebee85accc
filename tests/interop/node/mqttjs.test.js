// mqtt.js against a running server. test_node.py gives MQTT_URL (mqtt://... or ws://.../mqtt) and MQTT_VERSION (3, 4, 5).
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { afterEach, test } from 'node:test'
import mqtt from 'mqtt'

const url = process.env.MQTT_URL
const version = Number(process.env.MQTT_VERSION)
const five = version === 5
const largest = Number(process.env.LARGEST_PAYLOAD ?? 1_000_000)
const opened = []

function name () {
  return 'n' + randomBytes(6).toString('hex')
}

/** A connected client whose messages wait in a queue. */
async function client (options = {}) {
  const protocol = version === 3 ? { protocolId: 'MQIsdp', protocolVersion: 3 } : { protocolVersion: version }
  const one = mqtt.connect(url, { clientId: name(), ...protocol, reconnectPeriod: 0, connectTimeout: 8000, ...options })
  opened.push(one)
  const queue = []
  const waiting = []
  one.on('message', (topic, payload, packet) => {
    const found = { topic, payload: payload.toString(), size: payload.length, packet }
    if (waiting.length) waiting.shift()(found)
    else queue.push(found)
  })
  one.next = () => queue.length ? Promise.resolve(queue.shift()) : new Promise(resolve => waiting.push(resolve))
  one.nothing = async (ms = 300) => {
    await new Promise(resolve => setTimeout(resolve, ms))
    assert.deepEqual(queue, [])
  }
  const [connack] = await Promise.race([once(one, 'connect'), once(one, 'error').then(([why]) => { throw why })])
  one.connack = connack
  return one
}

afterEach(async () => {
  await Promise.all(opened.splice(0).map(one => one.endAsync(true)))
})

for (const qos of [0, 1, 2]) {
  test(`publishes and receives with QoS ${qos}`, { timeout: 15000 }, async () => {
    const topic = name()
    const receiver = await client()
    const granted = await receiver.subscribeAsync(topic + '/#', { qos })
    assert.equal(granted[0].qos, qos)
    const sender = await client()
    const sizes = [0, 64, largest]
    for (const size of sizes) await sender.publishAsync(topic + '/' + size, Buffer.alloc(size, 'x'), { qos })
    for (const size of sizes) {
      const found = await receiver.next()
      assert.equal(found.topic, topic + '/' + size)
      assert.equal(found.size, size)
      assert.equal(found.packet.qos, qos)
      assert.equal(found.payload, 'x'.repeat(size))
    }
  })
}

test('keeps the order of a thousand messages', { timeout: 20000 }, async () => {
  const topic = name()
  const receiver = await client()
  await receiver.subscribeAsync(topic, { qos: 1 })
  const sender = await client()
  const sent = Array.from({ length: 1000 }, (_, number) => sender.publishAsync(topic, String(number), { qos: 1 }))
  for (let number = 0; number < 1000; number++) assert.equal((await receiver.next()).payload, String(number))
  await Promise.all(sent)
})

test('finds retained values and clears them', { timeout: 10000 }, async () => {
  const topic = name()
  const sender = await client()
  await sender.publishAsync(topic + '/a', 'kept', { qos: 1, retain: true })
  const receiver = await client()
  await receiver.subscribeAsync(topic + '/+', { qos: 1 })
  const found = await receiver.next()
  assert.deepEqual([found.payload, found.packet.retain], ['kept', true])
  await sender.publishAsync(topic + '/a', '', { qos: 1, retain: true })
  await receiver.next()
  const late = await client()
  await late.subscribeAsync(topic + '/#', { qos: 1 })
  await late.nothing()
})

test('sends the will of a broken connection', { timeout: 10000 }, async () => {
  const topic = name()
  const watcher = await client()
  await watcher.subscribeAsync(topic, { qos: 1 })
  const victim = await client({ will: { topic, payload: Buffer.from('gone'), qos: 1, retain: false } })
  victim.stream.destroy()
  assert.equal((await watcher.next()).payload, 'gone')
})

test('resumes a session', { timeout: 10000 }, async () => {
  const topic = name()
  const options = { clientId: name(), clean: false, ...(five ? { properties: { sessionExpiryInterval: 60 } } : {}) }
  const first = await client(options)
  await first.subscribeAsync(topic, { qos: 2 })
  await first.endAsync()
  const sender = await client()
  for (let number = 0; number < 10; number++) await sender.publishAsync(topic, String(number), { qos: 2 })
  const again = await client(options)
  if (version > 3) assert.equal(again.connack.sessionPresent, true)
  for (let number = 0; number < 10; number++) assert.equal((await again.next()).payload, String(number))
})

test('unsubscribes', { timeout: 10000 }, async () => {
  const topic = name()
  const one = await client()
  await one.subscribeAsync([topic + '/a', topic + '/b'])
  await one.unsubscribeAsync(topic + '/a')
  await one.publishAsync(topic + '/a', 'no')
  await one.publishAsync(topic + '/b', 'yes')
  assert.equal((await one.next()).payload, 'yes')
})

test('stays connected on its keep-alive', { timeout: 10000 }, async () => {
  const one = await client({ keepalive: 1, reschedulePings: false })
  await new Promise(resolve => setTimeout(resolve, 3500))
  assert.equal(one.connected, true)
})

test('carries properties', { timeout: 10000, skip: !five }, async () => {
  const topic = name()
  const receiver = await client()
  await receiver.subscribeAsync(topic, { qos: 1, properties: { subscriptionIdentifier: 12 } })
  const sender = await client()
  const properties = {
    payloadFormatIndicator: true,
    contentType: 'text/plain',
    responseTopic: 'answers',
    correlationData: Buffer.from([0, 255]),
    userProperties: { a: ['1', '2'], b: '3' }
  }
  await sender.publishAsync(topic, 'x', { qos: 1, properties })
  const { packet } = await receiver.next()
  assert.deepEqual({ ...packet.properties, userProperties: { ...packet.properties.userProperties } },
    { ...properties, subscriptionIdentifier: 12 })
})

test('requests and replies', { timeout: 10000, skip: !five }, async () => {
  const topic = name()
  const helper = await client()
  await helper.subscribeAsync(topic + '/ask', { qos: 1 })
  const asker = await client()
  await asker.subscribeAsync(topic + '/reply', { qos: 1 })
  await asker.publishAsync(topic + '/ask', '2+2', { qos: 1, properties: { responseTopic: topic + '/reply', correlationData: Buffer.from('7') } })
  const { packet } = await helper.next()
  await helper.publishAsync(packet.properties.responseTopic, '4', { qos: 1, properties: { correlationData: packet.properties.correlationData } })
  const answer = await asker.next()
  assert.deepEqual([answer.payload, answer.packet.properties.correlationData.toString()], ['4', '7'])
})

test('is given a name when it has none', { timeout: 10000, skip: !five }, async () => {
  const one = await client({ clientId: '' })
  assert.ok(one.connack.properties.assignedClientIdentifier)
})
