// The command line of Sluice: what people type. One line per error on stderr, with a way out.
import { homedir } from 'node:os';
import { resolve } from 'node:path';
import { approvalStates } from '@sluice/model';
import { Command, CommanderError, InvalidArgumentError, Option } from 'commander';
import {
  exitCodeOf,
  type ListOptions,
  listApprovals,
  otherAccount,
  showApproval,
  type VoteOptions,
  voteOnApproval,
  type WaitOptions,
  waitForApproval,
} from './approvals.ts';
import { type CallsOptions, listCalls } from './calls.ts';
import { parseDuration } from './duration.ts';
import { homePaths } from './home.ts';
import { type KillOptions, kill } from './kill.ts';
import { type MaskTestOptions, testMasks } from './mask.ts';
import { applyPolicies, checkPolicies, type ExplainOptions, explainPolicy, PolicyFaults } from './policy.ts';
import { openRecords, type Records } from './records.ts';
import { type ReplayOptions, replay } from './replay.ts';
import { listSessions, type SessionsOptions } from './sessions.ts';
import { askSql, listQueries, type SqlOptions } from './sql.ts';
import { type TailOptions, tail } from './tail.ts';
import { type VerifyOptions, verify } from './verify/verify.ts';

/** What takes long to load: libraries for kubeconfigs, certificates and tokens. No other command waits for them. */
const load = {
  up: () => import('./up/up.ts'),
  keys: () => import('./keys.ts'),
  kubeconfig: () => import('./kubeconfig.ts'),
} as const;

const repository = resolve(import.meta.dirname, '../..');
const home = homePaths(
  resolve(process.env['SLUICE_HOME'] ?? `${repository}/.sluice`),
  process.env['SLUICE_CLICKHOUSE_URL'],
  process.env['SLUICE_SEALS_DIR'],
);
const out = process.stdout;
// A terminal that was closed must not end Sluice before it has stopped its parts.
out.on('error', () => undefined);

const program = new Command('sluice')
  .description('The gate between autonomous agents and Kubernetes.')
  .exitOverride()
  .configureOutput({ outputError: () => undefined });

program
  .command('up')
  .description('start Sluice on this machine, and stop it with Ctrl-C')
  .option('--kubeconfig <path>', 'the cluster, and the identity Sluice has there (default: the current context)')
  .option('--context <name>', 'a context of the kubeconfig')
  .option('--port <port>', 'where agents connect, on 127.0.0.1; 0 takes any free one', whole, 8443)
  .option('--policies <dir>', 'a directory of AccessPolicy files', `${repository}/deploy/examples/policies`)
  .addHelpText('after', '\nExample:\n  sluice up --kubeconfig ~/.kube/config --policies ./policies')
  .action(async (options: { kubeconfig?: string; context?: string; port: number; policies: string }) => {
    const { up } = await load.up();
    await up({
      home,
      repository,
      env: process.env,
      kubeconfig: options.kubeconfig === undefined ? '' : resolve(options.kubeconfig),
      context: options.context ?? '',
      port: options.port,
      policies: resolve(options.policies),
      out,
    });
  });

program
  .command('kubeconfig')
  .description('print a kubeconfig for an agent')
  .requiredOption('--agent <name>', 'who the agent is: policies and the record name it so')
  .option('--group <name>', 'a group of the agent; may be repeated', collect, [])
  .option('--ttl <duration>', 'how long it works: 30m, 1h, 7d', duration, duration('1h'))
  .addHelpText(
    'after',
    '\nExample:\n  sluice kubeconfig --agent deployer --group agents/ci --ttl 8h > deployer.kubeconfig',
  )
  .action(async (options: { agent: string; group: string[]; ttl: number }) => {
    const asked = { agent: options.agent, groups: options.group, ttlSeconds: Math.round(options.ttl / 1000) };
    await (await load.kubeconfig()).printKubeconfig(home, asked, out);
  });

const calls = program.command('calls').description('the calls in the record');
calls
  .command('list')
  .description('list calls, newest first')
  .option('--agent <name>', 'only calls of this agent')
  .option('--since <duration>', 'only calls of the last 30m, 1h, 7d', duration)
  .addOption(new Option('--effect <effect>', 'only calls with this decision').choices(['allow', 'ask', 'deny']))
  .option('--limit <n>', 'at most so many, up to 1000', whole, 50)
  .option('--json', 'one JSON array')
  .addHelpText('after', '\nExample:\n  sluice calls list --agent demo --since 1h --effect deny')
  .action((options: CallsOptions) => reading((records) => listCalls(records, options, out)));

const sessions = program.command('sessions').description('the sessions in the record');
sessions
  .command('list')
  .description('list sessions, the last to start first')
  .option('--agent <name>', 'only sessions of this agent')
  .option('--since <duration>', 'only sessions with a call in the last 30m, 1h, 7d', duration)
  .option('--limit <n>', 'at most so many, up to 1000: those with the newest calls', whole, 50)
  .option('--json', 'one JSON array')
  .addHelpText('after', '\nExample:\n  sluice sessions list --agent demo --since 7d')
  .action((options: SessionsOptions) => reading((records) => listSessions(records, options, out)));

const approvals = program
  .command('approvals')
  .description('calls that a person has to approve first')
  .addHelpText('before', `${otherAccount}\n`);
approvals
  .command('list')
  .description('list approvals, newest first')
  .addOption(new Option('--state <state>', 'only approvals in this state').choices(Object.keys(approvalStates)))
  .option('--limit <n>', 'at most so many', whole, 50)
  .option('--json', 'one JSON array')
  .addHelpText('after', '\nExample:\n  sluice approvals list --state pending')
  .action((options: ListOptions) => listApprovals(home, options, out));
approvals
  .command('show')
  .description('show all that a reviewer has to know')
  .argument('<id>', 'as `sluice approvals list` shows it')
  .option('--json', 'one JSON object')
  .addHelpText('after', '\nExample:\n  sluice approvals show 7k2m9xqd4t')
  .action((id: string, options: { json?: true }) => showApproval(home, id, options, out));
approvals
  .command('approve')
  .description('let the call go to the cluster, once')
  .argument('<id>', 'as `sluice approvals list` shows it')
  .option('--reason <text>', 'why; the agent and the record get it')
  .option(
    '--more <n>',
    'the rest of this command: up to n further calls of the same verb and resource, each within 10 s of the one before',
    furtherCalls,
    0,
  )
  .option('--json', 'one JSON object')
  .addHelpText('after', `\n${otherAccount}\n\nExample:\n  sluice approvals approve 7k2m9xqd4t --more 5`)
  .action((id: string, options: VoteOptions) => voteOnApproval(home, 'approve', id, options, out));
approvals
  .command('deny')
  .description('refuse the call')
  .argument('<id>', 'as `sluice approvals list` shows it')
  .option('--reason <text>', 'why, or what to do instead; the agent and the record get it')
  .option('--json', 'one JSON object')
  .addHelpText('after', '\nExample:\n  sluice approvals deny 7k2m9xqd4t --reason "scale it down first"')
  .action((id: string, options: VoteOptions) => voteOnApproval(home, 'deny', id, options, out));
approvals
  .command('wait')
  .description('wait until an approval is no longer pending; exit 0 when it is approved or used')
  .argument('<id>', 'as `sluice approvals list` shows it')
  .option('--timeout <duration>', 'for so long: 90s, 30m, 1h', duration, duration('10m'))
  .option('--json', 'one JSON object')
  .addHelpText('after', '\nExample:\n  sluice approvals wait 7k2m9xqd4t --timeout 30m')
  .action(async (id: string, options: WaitOptions) => {
    process.exitCode = exitCodeOf(await waitForApproval(home, id, options, out));
  });

program
  .command('sql')
  .description(
    'ask the record in SQL, of which SELECT is there, over calls, channels, decisions, approvals, sessions and frames',
  )
  .argument('[query]', 'a SELECT; parameters are written {name:String}')
  .option('--query <name>', 'one of the queries that come with Sluice, instead')
  .option('--list', 'show those queries, and their parameters')
  .option('--param <name=value>', 'a parameter of the query; may be repeated', param)
  .addOption(new Option('--format <format>', 'how rows are printed').choices(['table', 'json', 'csv']).default('table'))
  .addOption(new Option('--json', 'the same as --format json').implies({ format: 'json' }))
  .option('--full', 'do not shorten long values in a table')
  .addHelpText(
    'after',
    `
Examples:
  sluice sql "SELECT agent, count() AS calls FROM calls WHERE effect = 'deny' GROUP BY agent"
  sluice sql --query who-read --param resource=secrets --param namespace=default --param name=db`,
  )
  .action((query: string | undefined, options: Omit<SqlOptions, 'param'> & { list?: true }) =>
    options.list ? listQueries(out) : reading((records) => askSql(records, query, { param: {}, ...options }, out)),
  );

const policy = program.command('policy').description('what agents may do');
policy
  .command('check')
  .description('compile policies and say of every fault where it is')
  .argument('<file...>', 'AccessPolicy files, or directories of them')
  .addHelpText('after', '\nExample:\n  sluice policy check deploy/examples/policies')
  .action((files: string[]) => checkPolicies(files, out));
policy
  .command('apply')
  .description('put a directory of policies in force, in place of those before; returns when they are, everywhere')
  .argument('<dir>', 'a directory of AccessPolicy files')
  .addHelpText('after', '\nExample:\n  sluice policy apply ./policies')
  .action((dir: string) => applyPolicies(home, dir, out));
policy
  .command('explain')
  .description('say what would be decided about a call, and why')
  .requiredOption('--as <agent>', 'who calls')
  .option('--group <name>', 'a group of the agent; may be repeated', collect, [])
  .requiredOption('--verb <verb>', 'get, list, watch, create, update, patch, apply, delete, …')
  .requiredOption('--resource <resource>', 'resource[.group][/subresource], or a path such as /version')
  .option('-n, --namespace <namespace>', 'left out: all namespaces, or a cluster-scoped resource', '')
  .option('--name <name>', 'of the object', '')
  .option('--connection <name>', 'the cluster connection (default: the one of the running Sluice)')
  .option('--policies <file>', 'a file or directory of policies, instead of those in force')
  .option('--object <file>', 'the request body as JSON, for rules with a condition; needs --policies')
  .option(
    '--pod <file>',
    'of a stream or ephemeral containers: the pod as JSON, for conditions about it; needs --policies',
  )
  .option('--tty', 'of an exec or attach: with a terminal')
  .option('--stdin', 'of an exec or attach: with stdin')
  .option('--port <number>', 'of a port-forward: a connection to this port', Number)
  .argument('[command...]', 'what an exec runs, behind --')
  .option('--json', 'one JSON object')
  .addHelpText(
    'after',
    `
Examples:
  sluice policy explain --as demo --verb delete --resource pods -n default --name web
  sluice policy explain --as demo --verb create --resource pods/exec -n default --name web -- sh -c 'ls; rm -rf /'`,
  )
  .action((command: string[], options: ExplainOptions) => explainPolicy(home, { ...options, command }, out));

program
  .command('mask')
  .description('what agents are not shown')
  .command('test')
  .description('say what of a file would be masked, and why; no Sluice has to run')
  .argument('<file>', 'objects as JSON or YAML, or a text (*.log, *.txt); - is stdin')
  .option('--text', 'look at the file as a text, as logs are')
  .option('--show', 'print what an agent would see, instead')
  .option('--json', 'one JSON array')
  .addHelpText('after', '\nExample:\n  sluice mask test deployment.yaml')
  .action((file: string, options: MaskTestOptions) => testMasks(file, options, out));

const keys = program.command('keys').description('the keys of this Sluice');
keys
  .command('list')
  .description('list the keys: what each is for, and when it was made')
  .option('--json', 'one JSON array')
  .addHelpText('after', '\nExample:\n  sluice keys list')
  .action(async (options: { json?: true }) => (await load.keys()).listKeys(home, options, out));
keys
  .command('rotate')
  .description('make new keys in place of old ones; only while Sluice is stopped')
  .argument('[name...]', 'keys, as `sluice keys list` names them')
  .option('--all', 'every key')
  .addHelpText('after', '\nExample:\n  sluice keys rotate decisions masks')
  .action(async (names: string[], options: { all?: true }) =>
    (await load.keys()).rotateKeys(home, names, options, out),
  );
keys
  .command('broker')
  .description('print users and permissions for a nats-server of your own, as a block of its configuration')
  .addHelpText('after', '\nExample:\n  sluice keys broker >> nats.conf')
  .action(async () => (await load.keys()).printBrokerUsers(home, out));

program
  .command('replay')
  .description('show one call from its request to its outcome, or the calls of a session in their order')
  .argument('<call|session>', 'an id, as `sluice calls list` and `sluice sessions list` show them')
  .option('--full', 'all of the bodies; of a session, every call as if it were shown alone')
  .option('--speed <n>', 'of a terminal: play it so many times as fast', factor, 1)
  .option('--idle-limit <seconds>', 'of a terminal: shorten longer pauses', factor, 2)
  .addOption(new Option('--export <format>', 'write an exec or attach as a file to be played').choices(['asciicast']))
  .option('--json', 'the frames as one JSON array')
  .addHelpText(
    'after',
    `
On a terminal, an exec or attach with a terminal is played as it was; through a pipe it is shown as text.

Examples:
  sluice replay 019a4c1e-7d2b-7c3a-9f10-2b6d8e5a4c71 --speed 4
  sluice replay 019a4c1e-7d2b-7c3a-9f10-2b6d8e5a4c71 --export asciicast > shell.cast
  sluice replay 3f0c9a4be1d2475f8a6b7c0d1e2f3a4b --full`,
  )
  .action((id: string, options: ReplayOptions) => reading((records) => replay(records, id, options, out, interrupted)));

program
  .command('tail')
  .description('show calls as they happen, at their decision and at their outcome; Ctrl-C ends it')
  .argument('[call]', 'show one that runs instead: its bytes, as they are recorded, until it ends')
  .option('--agent <name>', 'only calls of this agent')
  .option('--json', 'one JSON object per line')
  .addHelpText('after', '\nExamples:\n  sluice tail --agent demo\n  sluice tail 019a4c1e-7d2b-7c3a-9f10-2b6d8e5a4c71')
  .action((call: string | undefined, options: TailOptions) => {
    return tail(home, call?.toLowerCase() ?? null, options, out, interrupted());
  });

program
  .command('kill')
  .description('cut a running call, or all that run of a session: streams, watches, port-forwards, followed logs')
  .argument('<call|session>', 'an id, as `sluice tail`, `calls list` and `sessions list` show them')
  .requiredOption('--reason <text>', 'why, on one line; the agent and the record get it, with who cut it')
  .option('--json', 'one JSON object')
  .addHelpText(
    'after',
    `\n${otherAccount}\n\nExample:\n  sluice kill 019a4c1e-7d2b-7c3a-9f10-2b6d8e5a4c71 --reason "not in this pod"`,
  )
  .action((id: string, options: KillOptions) => kill(home, id, options, out));

program
  .command('verify')
  .description('prove the record; exit 1, and the place, when something in it is not as it was written')
  .option('--session <id>', 'only the ledgers that hold this session, as `sluice sessions list` shows it')
  .option('--root <file>', "the root's public keys, kept elsewhere (default: those in the home)")
  .option('--seals <dir>', 'a copy of the second home, kept elsewhere (default: the one the recorder writes)')
  .option('--json', 'one JSON object')
  .addHelpText('after', '\nExample:\n  sluice verify --root /media/usb/root.pub --seals /media/usb/seals')
  .action((options: VerifyOptions) =>
    reading(async (records) => {
      const found = await verify(home, records, options, { out, terminal: process.stderr });
      if (found === 'faulty') process.exitCode = 1;
    }),
  );

try {
  await program.parseAsync();
} catch (error) {
  process.exitCode = 1;
  if (error instanceof PolicyFaults) {
    process.stderr.write(`${error.message}\n`);
  } else if (!(error instanceof CommanderError)) {
    process.stderr.write(`sluice: ${oneLine(error instanceof Error ? error.message : String(error))}\n`);
  } else {
    process.exitCode = error.exitCode;
    // Help has been printed by then; it is asked for, or shown to somebody who typed no command.
    const isHelp = error.code === 'commander.helpDisplayed' || error.code === 'commander.help';
    if (!isHelp) process.stderr.write(`sluice: ${oneLine(error.message.replace(/^error: /, ''))}; see --help\n`);
  }
}

/** Runs a command on the record. */
async function reading(command: (records: Records) => Promise<void>): Promise<void> {
  const records = openRecords(home);
  try {
    await command(records);
  } finally {
    await records.close();
  }
}

function oneLine(text: string): string {
  return text.replaceAll(homedir(), '~').replaceAll(/\s*\n\s*/g, '; ');
}

/** Ends what it is asked for, in place of the process. */
function interrupted(): AbortSignal {
  const stop = new AbortController();
  process.once('SIGINT', () => stop.abort());
  return stop.signal;
}

function factor(text: string): number {
  const number = Number(text);
  if (!/^\d{1,4}(\.\d{1,3})?$/.test(text) || number < 0.001)
    throw new InvalidArgumentError('a number over 0 is wanted');
  return number;
}

function whole(text: string): number {
  if (!/^\d{1,6}$/.test(text)) throw new InvalidArgumentError('a whole number is wanted');
  return Number(text);
}

function furtherCalls(text: string): number {
  if (!/^\d{1,3}$/.test(text) || Number(text) > 100) throw new InvalidArgumentError('0 to 100 is wanted');
  return Number(text);
}

function duration(text: string): number {
  const ms = parseDuration(text);
  if (ms === null) throw new InvalidArgumentError('a number with s, m, h or d is wanted: 90s, 30m, 1h, 7d');
  return ms;
}

function param(text: string, before: Readonly<Record<string, string>> = {}): Record<string, string> {
  const [, name, value] = /^(\w+)=(.*)$/s.exec(text) ?? [];
  if (name === undefined || value === undefined) throw new InvalidArgumentError('name=value is wanted');
  return { ...before, [name]: value };
}

function collect(value: string, before: string[]): string[] {
  return [...before, value];
}
