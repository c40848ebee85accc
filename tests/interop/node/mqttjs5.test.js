// What MQTT 5 adds, as mqtt.js speaks it. test_node.py gives MQTT_URL, and for the last test MQTT_TOKEN_URL and MQTT_TOKEN.
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { afterEach, test } from 'node:test'
import mqtt from 'mqtt'

const url = process.env.MQTT_URL
const opened = []

function name () {
  return 'n' + randomBytes(6).toString('hex')
}

/** A connected client whose messages wait in a queue. */
async function client (options = {}, address = url) {
  const one = mqtt.connect(address, { clientId: name(), protocolVersion: 5, reconnectPeriod: 0, connectTimeout: 8000, ...options })
  opened.push(one)
  const queue = []
  const waiting = []
  one.on('message', (topic, payload, packet) => {
    const found = { topic, payload: payload.toString(), packet }
    if (waiting.length) waiting.shift()(found)
    else queue.push(found)
  })
  one.next = () => queue.length ? Promise.resolve(queue.shift()) : new Promise(resolve => waiting.push(resolve))
  one.heard = queue
  const [connack] = await Promise.race([once(one, 'connect'), once(one, 'error').then(([why]) => { throw why })])
  one.connack = connack
  return one
}

afterEach(async () => {
  await Promise.all(opened.splice(0).map(one => one.endAsync(true)))
})

test('shares a subscription', { timeout: 10000 }, async () => {
  const topic = name()
  const members = [await client(), await client()]
  for (const member of members) await member.subscribeAsync(`$share/${topic}/${topic}/+`, { qos: 1 })
  const all = await client()
  await all.subscribeAsync(topic + '/#', { qos: 1 })
  const sender = await client()
  const sent = Array.from({ length: 40 }, (_, number) => String(number))
  for (const number of sent) await sender.publishAsync(topic + '/job', number, { qos: 1 })
  for (const number of sent) assert.equal((await all.next()).payload, number)
  const parts = await Promise.all(members.map(async member => {
    const part = []
    for (let count = 0; count < 20; count++) part.push((await member.next()).payload)
    return part
  }))
  assert.deepEqual(parts.flat().sort(), [...sent].sort())
})

test('uses topic aliases towards the server', { timeout: 10000 }, async () => {
  const topic = name() + '/a/topic/that/is/worth/a/number'
  const receiver = await client()
  await receiver.subscribeAsync(topic, { qos: 1 })
  const sender = await client({ autoAssignTopicAlias: true })
  const sizes = []
  sender.on('packetsend', packet => { if (packet.cmd === 'publish') sizes.push(packet.topic.length) })
  for (let number = 0; number < 3; number++) await sender.publishAsync(topic, String(number), { qos: 1 })
  for (let number = 0; number < 3; number++) assert.deepEqual((({ topic, payload }) => [topic, payload])(await receiver.next()), [topic, String(number)])
  assert.deepEqual(sizes, [topic.length, 0, 0])
})

test('understands topic aliases of the server', { timeout: 10000 }, async () => {
  const topic = name() + '/a/topic/that/is/worth/a/number'
  const receiver = await client({ properties: { topicAliasMaximum: 5 } })
  await receiver.subscribeAsync(topic, { qos: 1 })
  const aliases = []
  receiver.on('packetreceive', packet => { if (packet.cmd === 'publish') aliases.push(packet.properties?.topicAlias) })
  const sender = await client()
  for (let number = 0; number < 5; number++) {
    await sender.publishAsync(topic, String(number), { qos: 1 })
    assert.equal((await receiver.next()).topic, topic)
  }
  assert.ok(aliases.some(alias => alias > 0 && alias <= 5), String(aliases))
})

test('gets the identifiers of all subscriptions that match', { timeout: 10000 }, async () => {
  const topic = name()
  const receiver = await client()
  await receiver.subscribeAsync(topic + '/#', { qos: 1, properties: { subscriptionIdentifier: 1 } })
  await receiver.subscribeAsync(topic + '/+', { qos: 1, properties: { subscriptionIdentifier: 268435455 } })
  await receiver.publishAsync(topic + '/x', 'x', { qos: 1 })
  const { packet } = await receiver.next()
  assert.deepEqual([packet.properties.subscriptionIdentifier].flat().sort(), [1, 268435455])
})

test('delays a will, and takes it back by returning', { timeout: 15000 }, async () => {
  const topic = name()
  const watcher = await client()
  await watcher.subscribeAsync(topic + '/#', { qos: 1 })
  const mortal = (id, seconds) => client({
    clientId: id,
    clean: false,
    properties: { sessionExpiryInterval: 60 },
    will: { topic: topic + '/' + id, payload: Buffer.from('gone'), qos: 1, retain: false, properties: { willDelayInterval: seconds } }
  })
  const back = name()
  const first = await mortal(back, 2)
  first.stream.destroy()
  await once(first, 'close')
  await mortal(back, 2)
  const away = await mortal(name(), 3)
  away.stream.destroy()
  // The later will comes, and by then the earlier one would have come.
  assert.equal((await watcher.next()).topic, topic + '/' + away.options.clientId)
  assert.deepEqual(watcher.heard, [])
})

test('keeps user properties of one name in their order', { timeout: 10000 }, async () => {
  const topic = name()
  const one = await client()
  await one.subscribeAsync(topic, { qos: 1 })
  await one.publishAsync(topic, 'x', { qos: 1, properties: { userProperties: { twice: ['2', '1', '2'], once: 'o' } } })
  const { packet } = await one.next()
  assert.deepEqual({ ...packet.properties.userProperties }, { twice: ['2', '1', '2'], once: 'o' })
})

test('asks and is answered', { timeout: 10000 }, async () => {
  const topic = name()
  const server = await client()
  await server.subscribeAsync(topic + '/ask', { qos: 1 })
  const asker = await client({ properties: { requestResponseInformation: true } })
  const place = asker.connack.properties.responseInformation
  assert.ok(place, 'response information')
  await asker.subscribeAsync(place + '/#', { qos: 1 })
  const correlationData = randomBytes(8)
  await asker.publishAsync(topic + '/ask', '6 * 7', { qos: 1, properties: { responseTopic: place + '/1', correlationData } })
  const asked = await server.next()
  const { responseTopic, correlationData: same } = asked.packet.properties
  await server.publishAsync(responseTopic, '42', { qos: 1, properties: { correlationData: same } })
  const answer = await asker.next()
  assert.deepEqual([answer.payload, answer.packet.properties.correlationData], ['42', correlationData])
})

test('is told why it is sent away', { timeout: 10000 }, async () => {
  const id = name()
  const first = await client({ clientId: id })
  const told = once(first, 'disconnect')
  await client({ clientId: id })
  assert.equal((await told)[0].reasonCode, 0x8e)
})

test('logs in by an authentication method', { timeout: 10000, skip: !process.env.MQTT_TOKEN }, async () => {
  const properties = { authenticationMethod: 'OAUTHBEARER', authenticationData: Buffer.from(process.env.MQTT_TOKEN) }
  const one = await client({ properties }, process.env.MQTT_TOKEN_URL)
  assert.equal(one.connack.properties.authenticationMethod, 'OAUTHBEARER')
  const wrong = { ...properties, authenticationData: Buffer.from(process.env.MQTT_TOKEN.slice(0, -6) + 'AAAAAA') }
  await assert.rejects(client({ properties: wrong }, process.env.MQTT_TOKEN_URL))
})
