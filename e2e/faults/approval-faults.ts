// What can happen to approvals: their queues are lost, their keeper dies, votes and uses meet at one instant.
import { setTimeout as sleep } from 'node:timers/promises';
import type { ApprovalRow, ApprovalState, FrameMeta, Reviewer } from '@sluice/model';
import { until } from '@sluice/testing';
import { turn, warmUpMs } from './breaking.ts';
import type { Done, Run } from './experiments.ts';
import type { Exchange } from './load.ts';
import { type Evidence, reasonIn } from './verifier.ts';
import { askers, type World } from './world.ts';

const alice: Reviewer = { name: 'local:alice', groups: [] };
const bob: Reviewer = { name: 'local:bob', groups: [] };

/** What is asked for, and not waited for: of an agent, each is another command. Nothing of such a name is there. */
const parked = [
  'services',
  'secrets',
  'pods',
  'serviceaccounts',
  'configmaps',
  'events',
  'endpoints',
  'replicationcontrollers',
].flatMap((resource) => ['DELETE', 'PATCH'].map((method) => ({ method, resource })));

/** Three agents ask for what they may not do: 54 approvals are pending, nearly as many as their quotas allow at once. */
async function askForAll({ load, name }: Run): Promise<Asked[]> {
  const asked = askers.flatMap((agent) => parked.map((what) => ({ agent, ...what })));
  return Promise.all(
    asked.map(async ({ agent, method, resource }) => {
      const target = `/api/v1/namespaces/parked/${resource}/${name}`;
      const wanted = {
        agent,
        method,
        target,
        ...(method === 'PATCH' && { body: { metadata: {} }, contentType: 'application/merge-patch+json' }),
      };
      const exchange = await load.send(wanted);
      return { wanted, exchange, approval: approvalIn(exchange) };
    }),
  );
}

/** Asks of one agent for the same verb and resource share a card for a while, so each run asks for another one. */
const resourceOf = (seed: number): string => turn(['configmaps', 'services', 'secrets', 'pods', 'events'], seed);

interface Asked {
  readonly wanted: Parameters<Run['load']['send']>[0];
  readonly exchange: Exchange;
  readonly approval: string;
}

function approvalIn({ received }: Exchange): string {
  return /"reason":"SluiceApproval","message":"(\w+)"/.exec(received.toString())?.[1] ?? '';
}

/** Every approval that is not what it should be. */
async function notAs(world: World, expected: ReadonlyMap<string, ApprovalState>): Promise<string[]> {
  const rows = new Map((await world.approvals()).map((row) => [row.id, row]));
  return [...expected].flatMap(([id, state]) =>
    rows.get(id)?.state === state ? [] : [`approval ${id} is ${rows.get(id)?.state ?? 'gone'} and not ${state}`],
  );
}

/** What becomes of Redis, from before the asks on. */
const losses: Readonly<Record<string, (world: World) => () => Promise<void>>> = {
  'is flushed': (world) => () => world.flushQueues(),
  'is killed': (world) => async () => void (await world.kill('queue', 'SIGKILL')),
  'is killed, and comes back with nothing': (world) => () => world.loseQueues(),
  'is killed, and comes back as it was before': (world) => world.rememberQueues(),
};

/** The queues are lost while asks are pending: none is granted by that, none is lost, and the queues fill again. */
export async function loseQueues(run: Run): Promise<Done> {
  const { world, load, seed } = run;
  const [how, lose] = turn(Object.entries(losses), seed);
  await sleep(warmUpMs);
  const loses = lose(world);
  const asked = await askForAll(run);
  const complaints = asked.flatMap(({ exchange, approval }) =>
    reasonIn(exchange) === 'ApprovalRequired' && approval !== '' ? [] : [`an ask got ${exchange.status}`],
  );
  const [granted, refused, left] = [asked.slice(0, 5), asked.slice(5, 10), asked.slice(10)];
  await loses();
  const sinceMs = performance.now();
  complaints.push(...(await notAs(world, all(asked, 'pending'))));
  for (const { approval } of granted) complaints.push(...(await voted(world, approval, 'approve', alice)));
  for (const { approval } of refused) complaints.push(...(await voted(world, approval, 'deny', bob)));
  // Approved, each goes through once; the cluster knows no such object.
  for (const { wanted } of granted) {
    const passed = await load.send(wanted);
    if (passed.status !== 404 || reasonIn(passed) !== '') complaints.push(`an approved call got ${passed.status}`);
  }
  // What nobody decides expires, and a job that was put into the queues again writes that down.
  for (const { approval } of left) await expires(world, approval);
  complaints.push(...(await notAs(world, new Map([...all(granted, 'used'), ...all(refused, 'denied')]))));
  const recoveryMs = await world.healed(load, sinceMs);
  return {
    fault: `Redis ${how}`,
    measured: `${asked.length} asks pending, ${granted.length} approved, ${refused.length} denied meanwhile`,
    recoveryMs,
    check: (evidence) => [
      ...complaints,
      ...usedWithoutVote(evidence),
      ...left.flatMap(({ approval }) => {
        const ends = eventsOf(evidence, approval).filter((kind) => kind === 'expired');
        return ends.length === 1 ? [] : [`approval ${approval} has ${ends.length} words that it has expired`];
      }),
    ],
  };
}

function all(asked: readonly Asked[], state: ApprovalState): Map<string, ApprovalState> {
  return new Map(asked.map(({ approval }) => [approval, state]));
}

/** Votes, while the approval service may be on its way back. */
async function voted(world: World, approval: string, vote: 'approve' | 'deny', by: Reviewer): Promise<string[]> {
  const answer = await world.vote(approval, vote, by);
  return answer.kind === 'error' ? [`a vote on ${approval} was not taken: ${answer.message}`] : [];
}

/** The keeper of approvals is killed while it looks whether one has expired. */
export async function killKeeper({ world, load, random, seed, name }: Run): Promise<Done> {
  const point = turn(['before-expire', 'after-expire', 'anywhere'] as const, seed);
  await sleep(warmUpMs);
  const agent = askers[0] ?? '';
  const ask = await load.send({
    agent,
    method: 'DELETE',
    target: `/api/v1/namespaces/parked/${resourceOf(seed)}/${name}`,
  });
  const approval = approvalIn(ask);
  const armed = point === 'anywhere' ? undefined : world.sluice.arm(point);
  if (armed === undefined) await sleep(random.below(2_000));
  else await armed.reached();
  const sinceMs = await world.kill('approval', 'SIGKILL');
  armed?.release();
  await expires(world, approval);
  const recoveryMs = await world.healed(load, sinceMs);
  return {
    fault: `approval ended by SIGKILL, ${point}`,
    recoveryMs,
    check: (evidence) => {
      const kinds = eventsOf(evidence, approval);
      return kinds.join() === 'requested,expired' ? [] : [`the events of ${approval} are ${kinds.join()}`];
    },
  };
}

/** Waits until an approval has expired, and somebody has written that down. */
async function expires(world: World, approval: string): Promise<void> {
  await until('the approval to expire', async () => (await stateOf(world, approval)) === 'expired');
  await until('the word that it has', async () => (await world.lastEvent(approval)) === 'expired');
}

async function stateOf(world: World, approval: string): Promise<ApprovalState | undefined> {
  return (await world.approvals()).find(({ id }) => id === approval)?.state;
}

type Ballot = readonly (readonly [vote: 'approve' | 'deny', by: Reviewer])[];

/** Votes that meet, and how the approval may end. */
const ballots: Readonly<Record<string, { readonly votes: Ballot; readonly ends: readonly ApprovalState[] }>> = {
  'two approve': {
    votes: [
      ['approve', alice],
      ['approve', bob],
    ],
    ends: ['used'],
  },
  'one approves, one denies': {
    votes: [
      ['approve', alice],
      ['deny', bob],
    ],
    ends: ['used', 'denied'],
  },
  'one approves twice': {
    votes: [
      ['approve', alice],
      ['approve', alice],
    ],
    ends: ['used'],
  },
  'the agent itself approves': { votes: [['approve', { name: `local:${askers[0]}`, groups: [] }]], ends: ['pending'] },
  'five deny, five approve': {
    votes: [alice, bob, alice, bob, alice].flatMap(
      (by) =>
        [
          ['deny', by],
          ['approve', by],
        ] as const,
    ),
    ends: ['used', 'denied'],
  },
};

/** Reviewers vote in the same millisecond on a call that waits. */
export async function voteAtOnce({ world, load, seed, name }: Run): Promise<Done> {
  const [what, { votes, ends }] = turn(Object.entries(ballots), seed);
  await sleep(warmUpMs);
  const target = `/api/v1/namespaces/held/${resourceOf(seed)}/${name}`;
  const held = load.send({ agent: askers[0] ?? '', method: 'DELETE', target });
  const row = await until('the ask', async () =>
    (await world.approvals()).find(({ summary }: ApprovalRow) => summary.includes(`"${name}"`)),
  );
  const answers = await Promise.all(votes.map(([vote, by]) => world.vote(row.id, vote, by)));
  const taken = answers.filter(({ kind }) => kind !== 'error').length;
  const sinceMs = performance.now();
  if (ends.includes('pending')) await world.vote(row.id, 'deny', bob);
  const answer = await held;
  const state = await until('its end', async () => {
    const now = await stateOf(world, row.id);
    return now !== 'pending' && now !== 'approved' && now;
  });
  const expected = ends.includes('pending') ? ['denied'] : ends;
  return {
    fault: what,
    measured: `${taken} of ${votes.length} votes taken, ${state}`,
    recoveryMs: await world.healed(load, sinceMs),
    check: (evidence) => [
      ...(expected.includes(state) ? [] : [`it is ${state}`]),
      ...(state === 'denied' && reasonIn(answer) !== 'ApprovalDenied' ? [`denied, and answered ${answer.status}`] : []),
      ...(ends.includes('pending') && taken > 0 ? ['the agent has approved itself'] : []),
      ...reachedTimes(evidence, target, state === 'used' ? 1 : 0),
      ...usedWithoutVote(evidence),
    ],
  };
}

/** A grant is used by several calls at the same instant, at two ingress processes; and by calls it is not for. */
export async function useAtOnce({ world, load, name, seed }: Run): Promise<Done> {
  const peer = await world.peer('ingress', { SLUICE_PORT: '0' });
  const other = Number(peer.facts['port']);
  const agent = askers[seed % askers.length] ?? '';
  const target = `/api/v1/namespaces/parked/${resourceOf(seed)}/${name}`;
  const wanted = { agent, method: 'DELETE', target };
  const ask = await load.send(wanted);
  const approval = approvalIn(ask);
  const edited = [
    { ...wanted, target: `${target}x` },
    { ...wanted, target: `${target}?propagationPolicy=Orphan` },
    { ...wanted, body: { gracePeriodSeconds: 0 } },
    { ...wanted, agent: askers[(seed + 1) % askers.length] ?? '' },
  ];
  const complaints = await voted(world, approval, 'approve', alice);
  const sinceMs = performance.now();
  const [uses, misuses] = await Promise.all([
    Promise.all([0, other, 0, other, 0, other].map((port) => load.send({ ...wanted, ...(port > 0 && { port }) }))),
    Promise.all(edited.map((one, n) => load.send({ ...one, ...(n % 2 === 0 && { port: other }) }))),
  ]);
  const passed = uses.filter((exchange) => reasonIn(exchange) === '' && exchange.status !== 0);
  const recoveryMs = await world.healed(load, sinceMs);
  await peer.stop();
  const codes = new Set([...uses, ...misuses].map((exchange) => reasonIn(exchange)).filter((code) => code !== ''));
  return {
    fault: 'one grant, six uses at two ingress, four calls it is not for',
    measured: `${passed.length} passed; others ${[...codes].join(', ')}`,
    recoveryMs,
    check: (evidence) => [
      ...complaints,
      ...(passed.length === 1 ? [] : [`${passed.length} calls passed`]),
      ...misuses.flatMap((exchange) => (reasonIn(exchange) === '' ? [`${exchange.target}: passed as well`] : [])),
      ...reachedTimes(evidence, target, 1),
      ...edited.slice(0, 2).flatMap((one) => reachedTimes(evidence, one.target, 0)),
      ...usedWithoutVote(evidence),
    ],
  };
}

/** A call that waits for a reviewer while something breaks. */
interface HeldCall {
  readonly target: string;
  /** Has it approved, and makes it again where its agent was sent away, until it is through. */
  approve(): Promise<void>;
}

/** `n`: counts up within a run. */
export async function holdCall({ world, load, name }: Run, n: number): Promise<HeldCall> {
  const target = `/api/v1/namespaces/held/configmaps/${name}-${n}`;
  const send = (): Promise<Exchange> => load.send({ agent: turn(askers, n), method: 'DELETE', target });
  const held = send();
  const { id } = await until('the ask', async () =>
    (await world.approvals()).find(({ summary }) => summary.includes(`"${name}-${n}"`)),
  );
  return {
    target,
    async approve() {
      await world.vote(id, 'approve', alice);
      await held;
      await until('the approved call to go through', async () => {
        const state = await stateOf(world, id);
        if (state === 'approved') await send();
        return state === 'used';
      });
    },
  };
}

/** Every change that came to the cluster not once, or without a vote. */
export function usedOnce(evidence: Evidence, targets: readonly string[]): string[] {
  return [...targets.flatMap((target) => reachedTimes(evidence, target, 1)), ...usedWithoutVote(evidence)];
}

/** How often a change came to the cluster. */
function reachedTimes({ arrived }: Evidence, target: string, times: number): string[] {
  const came = arrived.filter((request) => request.method !== 'GET' && request.target === target).length;
  return came === times ? [] : [`${target} came to the cluster ${came} times, and not ${times}`];
}

interface Recorded {
  readonly seq: number;
  readonly meta: FrameMeta['approval'];
}

/** Each event of each approval once, in the order of their log. */
function recordedEvents({ frames }: Evidence): Recorded[] {
  const events = new Map<number, FrameMeta['approval']>();
  for (const { frame } of frames) {
    if (frame.kind !== 'approval') continue;
    const meta = JSON.parse(frame.meta) as FrameMeta['approval'];
    events.set(meta.seq, meta);
  }
  return [...events].map(([seq, meta]) => ({ seq, meta })).sort((a, b) => a.seq - b.seq);
}

/** Kinds of the events of one approval, in their order. */
function eventsOf(evidence: Evidence, approval: string): string[] {
  return recordedEvents(evidence).flatMap(({ meta }) => (meta.approval === approval ? [meta.event.kind] : []));
}

/** Calls that went through on an approval for which the record has no vote. */
function usedWithoutVote(evidence: Evidence): string[] {
  const approved = new Set(
    recordedEvents(evidence).flatMap(({ meta: { approval, event } }) =>
      event.kind === 'voted' && event.vote === 'approve' ? [approval] : [],
    ),
  );
  return evidence.frames.flatMap(({ frame }) => {
    if (frame.kind !== 'decision') return [];
    const { approval } = JSON.parse(frame.meta) as FrameMeta['decision'];
    return approved.has(approval) ? [] : [`call ${frame.call} went through on ${approval}, which nobody approved`];
  });
}
