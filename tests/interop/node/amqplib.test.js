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
