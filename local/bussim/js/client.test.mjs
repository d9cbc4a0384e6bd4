// Microsoft's JavaScript client against the broker that SB_CONN names: the
// stand-in when TestJavaScriptClient runs this file.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { ServiceBusClient } from "@azure/service-bus";

const plainQueue = "portcullis-test";
const dupQueue = "portcullis-test-dup";
const missingQueue = "portcullis-test-missing";
const patience = { timeout: 180_000 }; // for what never comes: a machine may be slow
const unique = Date.now().toString(36);

let client;

before(async () => {
  assert.ok(process.env.SB_CONN, "SB_CONN is not set");
  client = connect(process.env.SB_CONN);
  for (const queue of [plainQueue, dupQueue]) {
    for (const subQueueType of [undefined, "deadLetter"]) { // what earlier runs left in a real namespace
      const receiver = client.createReceiver(queue, { receiveMode: "receiveAndDelete", subQueueType });
      while ((await receiver.receiveMessages(100, { maxWaitTimeInMs: 100 })).length > 0);
      await receiver.close();
    }
  }
});
after(() => client.close());

function connect(conn) {
  return new ServiceBusClient(conn, { retryOptions: { maxRetries: 1, retryDelayInMs: 100, timeoutInMs: 60_000 } });
}

async function links(queue, options) {
  return { sender: client.createSender(queue), receiver: client.createReceiver(queue, options) };
}

async function one(receiver) {
  const got = await receiver.receiveMessages(1, { maxWaitTimeInMs: 120_000 });
  assert.equal(got.length, 1, "messages received");
  return got[0];
}

async function none(receiver) {
  assert.deepEqual(await receiver.receiveMessages(1, { maxWaitTimeInMs: 200 }), []);
}

async function close(...all) {
  for (const x of all) await x.close();
}

test("refuses a wrong key", patience, async () => {
  const stranger = connect(process.env.SB_CONN.replace(/SharedAccessKey=[^;]*/, "SharedAccessKey=wrong"));
  try {
    // The SDK tries it again, and then throws all errors together.
    await assert.rejects(stranger.createSender(plainQueue).sendMessages({ body: "x" }), (error) => {
      assert.deepEqual(error.errors.map((e) => e.code), ["UnauthorizedAccess", "UnauthorizedAccess"]);
      return true;
    });
  } finally {
    await stranger.close();
  }
});

test("refuses a missing queue", patience, async () => {
  const sender = client.createSender(missingQueue);
  await assert.rejects(sender.sendMessages({ body: "x" }), { code: "MessagingEntityNotFound" });
  await close(sender);
});

test("keeps properties, and gives a message without an id one", patience, async () => {
  const { sender, receiver } = await links(plainQueue);
  const properties = { n: 7, s: "é", b: true, big: 2 ** 40, half: 0.5 };
  await sender.sendMessages({ body: { deep: [1, 2] }, subject: "s", contentType: "application/json", applicationProperties: properties });
  const m = await one(receiver);
  assert.ok(m.messageId);
  assert.deepEqual(m.body, { deep: [1, 2] });
  assert.equal(m.subject, "s");
  assert.deepEqual(m.applicationProperties, properties);
  assert.equal(m.deliveryCount, 0);
  await receiver.completeMessage(m);
  await none(receiver);
  await close(sender, receiver);
});

test("sends a batch and a message in several frames", patience, async () => {
  const { sender, receiver } = await links(plainQueue);
  const batch = await sender.createMessageBatch();
  assert.ok(batch.tryAddMessage({ body: Buffer.alloc(100_000, "a") }));
  assert.ok(batch.tryAddMessage({ body: Buffer.alloc(100_000, "b") }));
  await sender.sendMessages(batch);
  for (const letter of ["a", "b"]) {
    const m = await one(receiver);
    assert.ok(Buffer.alloc(100_000, letter).equals(Buffer.from(m.body)));
    await receiver.completeMessage(m);
  }
  await close(sender, receiver);
});

test("schedules, peeks and cancels", patience, async () => {
  const { sender, receiver } = await links(plainQueue);
  const numbers = await sender.scheduleMessages([{ body: "kept" }, { body: "cancelled" }], new Date(Date.now() + 5000));
  assert.equal(numbers.length, 2);
  assert.deepEqual((await receiver.peekMessages(10)).map((m) => m.state), ["scheduled", "scheduled"]);
  await sender.cancelScheduledMessages(numbers[1]);
  await assert.rejects(sender.cancelScheduledMessages(numbers[1]), { code: "MessageNotFound" });
  await none(receiver);
  const m = await one(receiver); // its timer fires by itself
  assert.equal(m.body, "kept");
  await receiver.completeMessage(m);
  await close(sender, receiver);
});

test("abandons until the message is a dead letter", patience, async () => {
  const { sender, receiver } = await links(plainQueue);
  await sender.sendMessages({ body: "poison" });
  for (let count = 0; count < 3; count++) {
    const m = await one(receiver);
    assert.equal(m.deliveryCount, count);
    await receiver.abandonMessage(m, { attempt: count });
  }
  await none(receiver);
  const dead = client.createReceiver(plainQueue, { subQueueType: "deadLetter" });
  const m = await one(dead);
  assert.equal(m.deadLetterReason, "MaxDeliveryCountExceeded");
  assert.equal(m.applicationProperties.attempt, 2);
  await dead.completeMessage(m);
  await close(sender, receiver, dead);
});

test("dead-letters with a reason; defers", patience, async () => {
  const { sender, receiver } = await links(plainQueue);
  await sender.sendMessages([{ body: "bad" }, { body: "later" }]);
  await receiver.deadLetterMessage(await one(receiver), { deadLetterReason: "r", deadLetterErrorDescription: "d" });
  const later = await one(receiver);
  await receiver.deferMessage(later);
  await none(receiver);
  const [back] = await receiver.receiveDeferredMessages(later.sequenceNumber);
  assert.equal(back.body, "later");
  await receiver.completeMessage(back);
  const dead = client.createReceiver(plainQueue, { subQueueType: "deadLetter" });
  const m = await one(dead);
  assert.deepEqual([m.body, m.deadLetterReason, m.deadLetterErrorDescription], ["bad", "r", "d"]);
  await dead.completeMessage(m);
  await close(sender, receiver, dead);
});

test("drops duplicates; receives and deletes", patience, async () => {
  const { sender, receiver } = await links(dupQueue, { receiveMode: "receiveAndDelete" });
  await sender.sendMessages({ body: "first", messageId: unique });
  await sender.sendMessages({ body: "second", messageId: unique });
  assert.equal((await one(receiver)).body, "first");
  await none(receiver);
  await close(sender, receiver);
});

test("redelivers after the lock expired, and refuses the old lock", patience, async () => {
  const { sender, receiver } = await links(plainQueue, { maxAutoLockRenewalDurationInMs: 0 });
  await sender.sendMessages({ body: "slow" });
  const m = await one(receiver);
  const again = await one(receiver); // arrives when the lock ends
  assert.equal(again.deliveryCount, 1);
  await assert.rejects(receiver.completeMessage(m), { code: "MessageLockLost" });
  await receiver.completeMessage(again);
  await close(sender, receiver);
});

test("subscribes, renewing the lock past its end", patience, async () => {
  const { sender, receiver } = await links(plainQueue);
  await sender.sendMessages({ body: "long work" });
  const counts = [];
  let number;
  await new Promise((resolve, reject) => {
    receiver.subscribe({
      async processMessage(m) {
        counts.push(m.deliveryCount);
        number = m.sequenceNumber;
        const lock = m.lockedUntilUtc - Date.now();
        await new Promise((done) => setTimeout(done, lock * 1.5));
        resolve();
      },
      async processError({ error }) {
        reject(error);
      },
    });
  });
  const check = client.createReceiver(plainQueue);
  for (let tries = 0; tries < 1000 && (await check.peekMessages(1, { fromSequenceNumber: number })).length > 0; tries++) {
    await new Promise((done) => setTimeout(done, 50)); // until the SDK has completed it
  }
  await receiver.close();
  await none(check);
  assert.deepEqual(counts, [0]);
  await close(sender, check);
});
