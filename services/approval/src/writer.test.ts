import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import {
  type ApplyAnswer,
  authority,
  type CompileAnswer,
  type PolicyFiles,
  queueGroups,
  subjects,
} from '@sluice/model';
import {
  type AuthorityStore,
  type Broker,
  createLogger,
  FencedError,
  type Lease,
  type Membership,
  openAuthorityStore,
  openBroker,
  openLease,
  provision,
} from '@sluice/runtime';
import { TestBroker, until } from '@sluice/testing';
import { AuthorityWriter } from './writer.ts';

const log = createLogger('test', '/dev/null');
let server: TestBroker;
let broker: Broker;
let store: AuthorityStore;
let worker: Membership;
let fenced = 0;
const compiled: CompileAnswer = { kind: 'compiled', version: 'v', policies: 1, rules: 2 };
let compileAnswer: CompileAnswer = compiled;

before(async () => {
  server = await TestBroker.start();
  broker = await openBroker(server.env, 'test', log);
  await provision(broker);
  store = await openAuthorityStore(broker);
  await openWriter('first');
  worker = compiling();
});
after(async () => {
  await broker.drain();
  await server.close();
});

function openWriter(instance: string): Promise<AuthorityWriter> {
  return AuthorityWriter.open({ broker, store, instance, log, onFenced: () => fenced++ });
}

/** A policy worker that compiles what it is told to. */
function compiling(): Membership {
  return broker.respond(subjects.compile, queueGroups.policy, () => Buffer.from(JSON.stringify(compileAnswer)));
}

async function apply(text: string): Promise<ApplyAnswer> {
  const files: PolicyFiles = { files: [{ name: 'p.yaml', text }] };
  const reply = await broker.request(subjects.apply, Buffer.from(JSON.stringify(files)), 20_000);
  return JSON.parse(Buffer.from(reply).toString()) as ApplyAnswer;
}

async function member(onAdvance: (seq: number) => Promise<void> | void, onLost = () => undefined): Promise<Lease> {
  const own = await openBroker(server.env, 'test member', log);
  const lease = await openLease({
    broker: own,
    role: 'ingress',
    instance: crypto.randomUUID(),
    log,
    onAdvance,
    onLost,
  });
  after(() => {
    lease.close();
    return own.drain();
  });
  return lease;
}

test('without a policy worker nothing changes', async () => {
  await worker.leave();
  const head = await store.head();
  const answer = await apply('one');
  assert.equal(answer.kind, 'failed');
  assert.equal(await store.head(), head);
  worker = compiling();
});

test('policies at fault change nothing, and the faults come back', async () => {
  const fault = { file: 'p.yaml', line: 3, column: 4, message: 'no' };
  compileAnswer = { kind: 'faults', faults: [fault] };
  const head = await store.head();
  assert.deepEqual(await apply('broken'), { kind: 'faults', faults: [fault] });
  assert.equal(await store.head(), head);
  compileAnswer = compiled;
});

test('policies are committed, and the same ones again are not', async () => {
  const first = await apply('one');
  assert.ok(first.kind === 'applied');
  const last = await store.last(authority.policies);
  assert.equal(last?.seq, first.authority);
  const again = await apply('one');
  assert.ok(again.kind === 'applied');
  assert.equal(again.authority, first.authority);
});

test('an apply returns only after every member goes by it', async () => {
  const went: number[] = [];
  let release = (): void => undefined;
  const held = new Promise<void>((resolve) => {
    release = resolve;
  });
  let isSlow = false;
  await member(async (seq) => {
    if (isSlow) await held;
    went.push(seq);
  });
  isSlow = true;
  let isBack = false;
  const applying = apply('two').then((answer) => {
    isBack = true;
    return answer;
  });
  await until('the commit', async () => (await store.last(authority.policies))?.payload.toString() !== undefined);
  await new Promise((resolve) => setTimeout(resolve, 300));
  assert.equal(isBack, false);
  release();
  const answer = await applying;
  assert.ok(answer.kind === 'applied');
  assert.equal(went.at(-1), answer.authority);
  assert.equal(answer.members.ingress, 1);
});

test('a member knows of a change before it is in force', async () => {
  const lease = await member(() => undefined);
  const answer = await apply('three');
  assert.ok(answer.kind === 'applied');
  assert.equal(lease.seen(), answer.authority);
});

test('a writer that has been replaced can write nothing, and says so', async () => {
  const head = await store.head();
  await store.append(authority.writer, Buffer.from('{"instance":"second"}'), head);
  const answer = await apply('four');
  assert.equal(answer.kind, 'failed');
  assert.equal(fenced, 1);
  await assert.rejects(store.append(authority.policies, Buffer.from('x'), head), FencedError);
});
