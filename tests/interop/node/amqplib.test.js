// amqplib against the server at AMQP_URL.
import test from "node:test";
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import amqp from "amqplib";

const url = process.env.AMQP_URL;

async function connected(t) {
  const connection = await amqp.connect(url);
  connection.on("error", () => {});
  t.after(() => connection.close().catch(() => {}));
  return connection;
}

test("confirms, a topic exchange, acknowledgements", async (t) => {
  const name = "n" + randomUUID();
  const channel = await (await connected(t)).createConfirmChannel();
  await channel.assertExchange(name, "topic", { durable: true });
  const { queue } = await channel.assertQueue("", { exclusive: true });
  await channel.bindQueue(queue, name, "a.#");
  for (let number = 0; number < 50; number++) {
    channel.publish(name, "a.b", Buffer.from(`${number}`), { persistent: true, headers: { number, text: "ö" } });
  }
  await channel.waitForConfirms();
  const heard = [];
  await new Promise((resolve) => channel.consume(queue, (message) => {
    heard.push([Number(message.content.toString()), message.properties.headers.number]);
    channel.ack(message);
    if (heard.length === 50) resolve();
  }));
  assert.deepEqual(heard, Array.from({ length: 50 }, (_, number) => [number, number]));
  await channel.deleteExchange(name);
});

test("rpc by direct reply-to", async (t) => {
  const name = "n" + randomUUID();
  const [worker, asker] = [await (await connected(t)).createChannel(), await (await connected(t)).createChannel()];
  await worker.assertQueue(name, { exclusive: true });
  await worker.consume(name, (message) => {
    worker.sendToQueue(message.properties.replyTo, Buffer.from(message.content.toString().toUpperCase()),
      { correlationId: message.properties.correlationId });
    worker.ack(message);
  });
  const answer = new Promise((resolve) => asker.consume("amq.rabbitmq.reply-to", resolve, { noAck: true }));
  asker.sendToQueue(name, Buffer.from("question"), { replyTo: "amq.rabbitmq.reply-to", correlationId: "7" });
  const message = await answer;
  assert.equal(message.content.toString(), "QUESTION");
  assert.equal(message.properties.correlationId, "7");
});

test("a missing queue ends the channel with 404, and the connection goes on", async (t) => {
  const connection = await connected(t);
  const channel = await connection.createChannel();
  channel.on("error", () => {});
  const closed = new Promise((resolve) => channel.on("close", resolve));
  await assert.rejects(channel.checkQueue("n" + randomUUID()), /404 \(NOT-FOUND\).*NOT_FOUND - no queue/);
  await closed;
  await (await connection.createChannel()).assertQueue("", { exclusive: true });
});

test("a body of five megabytes", async (t) => {
  const channel = await (await connected(t)).createChannel();
  const { queue } = await channel.assertQueue("", { exclusive: true });
  const body = Buffer.alloc(5_000_000, "abcdefg");
  channel.sendToQueue(queue, body);
  let message = false;
  while (!message) message = await channel.get(queue, { noAck: true });
  assert.ok(body.equals(message.content));
});

test("each publication of a confirm channel has its answer, refused ones too", async (t) => {
  const name = "n" + randomUUID();
  const channel = await (await connected(t)).createConfirmChannel();
  await channel.assertQueue(name, { exclusive: true, maxLength: 2, arguments: { "x-overflow": "reject-publish" } });
  const sent = [0, 1, 2].map((number) => new Promise((resolve) =>
    channel.sendToQueue(name, Buffer.from(`${number}`), {}, (error) => resolve(error === null))));
  assert.deepEqual(await Promise.all(sent), [true, true, false]);
});

test("what nobody gets comes back before its confirm", async (t) => {
  const channel = await (await connected(t)).createConfirmChannel();
  const heard = [];
  channel.on("return", (message) => heard.push(["return", message.fields.replyCode, message.content.toString()]));
  await new Promise((resolve) => channel.publish("", "n" + randomUUID(), Buffer.from("x"), { mandatory: true }, () => {
    heard.push(["confirm"]);
    resolve();
  }));
  assert.deepEqual(heard, [["return", 312, "x"], ["confirm"]]);
});

test("a consumer whose queue goes is told by a null, a cancelled one hears no more", async (t) => {
  const connection = await connected(t);
  const [channel, other] = [await connection.createChannel(), await connection.createChannel()];
  const name = "n" + randomUUID();
  await channel.assertQueue(name);
  let heard = 0;
  const { consumerTag } = await channel.consume(name, () => heard++, { noAck: true });
  await channel.cancel(consumerTag);
  channel.sendToQueue(name, Buffer.from("for nobody"));
  let tell;
  const gone = new Promise((resolve) => { tell = resolve; });
  await channel.consume(name, (message) => message === null && tell());
  await other.deleteQueue(name);
  await gone;
  assert.equal(heard, 0);
});

test("prefetch holds back until something is acknowledged", async (t) => {
  const channel = await (await connected(t)).createChannel();
  const { queue } = await channel.assertQueue("", { exclusive: true });
  for (let number = 0; number < 5; number++) channel.sendToQueue(queue, Buffer.from(`${number}`));
  await channel.prefetch(2);
  const heard = [];
  await channel.consume(queue, (message) => heard.push(message));
  while (heard.length < 2) await channel.checkQueue(queue);
  assert.equal((await channel.checkQueue(queue)).messageCount, 3);
  assert.equal(heard.length, 2);
  channel.ack(heard[1], true);
  while (heard.length < 4) await channel.checkQueue(queue);
  channel.nackAll(false);
  while (heard.length < 5) await channel.checkQueue(queue);
  assert.deepEqual(heard.map((message) => message.content.toString()), ["0", "1", "2", "3", "4"]);
});

test("headers of every kind come back, and a headers exchange looks at them", async (t) => {
  const name = "n" + randomUUID();
  const channel = await (await connected(t)).createChannel();
  await channel.assertExchange(name, "headers", { autoDelete: true });
  const { queue } = await channel.assertQueue("", { exclusive: true });
  await channel.bindQueue(queue, name, "", { "x-match": "all", kind: "pdf", pages: 3 });
  const headers = { kind: "pdf", pages: 3, deep: { list: [1, "zwei", true] }, price: 1.5, big: 2 ** 40, not: null };
  channel.publish(name, "", Buffer.from("no"), { headers: { kind: "pdf" } });
  channel.publish(name, "", Buffer.from("yes"), { headers, priority: 4, messageId: "m", timestamp: 1700000000, type: "t" });
  let message = false;
  while (!message) message = await channel.get(queue, { noAck: true });
  assert.equal(message.content.toString(), "yes");
  assert.deepEqual(message.properties.headers, headers);
  assert.deepEqual([message.properties.priority, message.properties.messageId, message.properties.timestamp], [4, "m", 1700000000]);
});

test("a second declaration that differs names both values", async (t) => {
  const name = "n" + randomUUID();
  const channel = await (await connected(t)).createChannel();
  channel.on("error", () => {});
  await channel.assertQueue(name, { exclusive: true, messageTtl: 1000 });
  await assert.rejects(channel.assertQueue(name, { exclusive: true, messageTtl: 2000 }),
    /406 \(PRECONDITION-FAILED\).*inequivalent arg 'x-message-ttl' for queue .*: received '2000' but current is '1000'/);
});
