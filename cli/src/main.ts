// The command line of Sluice: what people type. One line per error on stderr, with a way out.
import { homedir } from 'node:os';
import { resolve } from 'node:path';
import type { Effect } from '@sluice/model';
import { Command, CommanderError, InvalidArgumentError, Option } from 'commander';
import { listCalls } from './calls.ts';
import { parseDuration } from './duration.ts';
import { homePaths } from './home.ts';
import { printKubeconfig } from './kubeconfig.ts';
import { applyPolicies, checkPolicies, type ExplainOptions, explainPolicy, PolicyFaults } from './policy.ts';
import { replayCall } from './replay.ts';
import { up } from './up/up.ts';

const repository = resolve(import.meta.dirname, '../..');
const home = homePaths(resolve(process.env['SLUICE_HOME'] ?? `${repository}/.sluice`));
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
  .action((options: { kubeconfig?: string; context?: string; port: number; policies: string }) =>
    up({
      home,
      repository,
      env: process.env,
      kubeconfig: options.kubeconfig === undefined ? '' : resolve(options.kubeconfig),
      context: options.context ?? '',
      port: options.port,
      policies: resolve(options.policies),
      out,
    }),
  );

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
  .action((options: { agent: string; group: string[]; ttl: number }) =>
    printKubeconfig(
      home,
      { agent: options.agent, groups: options.group, ttlSeconds: Math.round(options.ttl / 1000) },
      out,
    ),
  );

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
  .action((options: { agent?: string; since?: number; effect?: Effect; limit: number; json?: true }) =>
    listCalls(home, options, out),
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
  .option('--json', 'one JSON object')
  .addHelpText(
    'after',
    '\nExample:\n  sluice policy explain --as demo --verb delete --resource pods -n default --name web',
  )
  .action((options: ExplainOptions) => explainPolicy(home, options, out));

program
  .command('replay')
  .description('show one call from its request to its outcome')
  .argument('<call>', 'the id of a call, as `sluice calls list` shows it')
  .option('--full', 'do not shorten long bodies')
  .option('--json', 'the frames as one JSON array')
  .addHelpText('after', '\nExample:\n  sluice replay 019a4c1e-7d2b-7c3a-9f10-2b6d8e5a4c71')
  .action((call: string, options: { full?: true; json?: true }) => replayCall(home, call, options, out));

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

function oneLine(text: string): string {
  return text.replaceAll(homedir(), '~').replaceAll(/\s*\n\s*/g, '; ');
}

function whole(text: string): number {
  if (!/^\d{1,6}$/.test(text)) throw new InvalidArgumentError('a whole number is wanted');
  return Number(text);
}

function duration(text: string): number {
  const ms = parseDuration(text);
  if (ms === null) throw new InvalidArgumentError('a number with s, m, h or d is wanted: 90s, 30m, 1h, 7d');
  return ms;
}

function collect(value: string, before: string[]): string[] {
  return [...before, value];
}
