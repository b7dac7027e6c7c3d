// What a bare machine lacks, fetched and said so: the packages with Node 24 in them, and the servers that are no
// packages. Runs on Node 20 and without packages, since it is what brings both.
//
//   node tools/setup.mjs nats-server redis-server kubectl      prints the path of each, one a line
//   node tools/setup.mjs libfaketime                           the same for the library that moves the clock of one process
//   node tools/setup.mjs kubectl-versions                      the same for every kubectl that the scenario is to pass with
import { spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { delimiter, dirname, join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { fetchFileFromDebian, fetchFromDebian, fetchFromSuites, fetchWithLibraries, treeOf } from './debian.mjs';

export const root = dirname(dirname(fileURLToPath(import.meta.url)));
const ownNode = join(root, 'node_modules', '.bin', 'node');
const tools = join(root, '.sluice', 'tools');

/**
 * The servers Sluice can fetch: how each tells its version, the oldest that will do, its Homebrew name; of one that is no
 * single file, the Debian packages that make it up.
 */
const servers = {
  'nats-server': { version: ['--version'], oldest: '2.10.23', formula: 'nats-server' },
  'redis-server': {
    version: ['--version'],
    oldest: '6.2.0',
    formula: 'redis',
    packages: ['redis-server', 'redis-tools'],
  },
  kubectl: { version: ['version', '--client'], oldest: '1.20.0', formula: 'kubernetes-cli' },
};

/** Where Debian has kubectl 1.20, 1.32 and the newest. Below 1.32 another package holds it. */
const kubectlSources = [
  { suite: 'bookworm', package: 'kubernetes-client' },
  { suite: 'trixie', package: 'kubectl' },
  { suite: 'sid', package: 'kubectl' },
];

/** For programs with threads. */
const faketime = 'libfaketimeMT.so.1';

/** Nothing to be done without a person; the message is the one line to show. */
export class SetupError extends Error {}

/** Runs the program of a tool; what it cannot do ends in one line and exit code 1. */
export async function main(program) {
  try {
    process.exitCode = await program();
  } catch (error) {
    if (!(error instanceof SetupError)) throw error;
    console.error(`sluice: ${error.message}`);
    process.exitCode = 1;
  }
}

/** The Node that Sluice runs on: the packages' own, or, where they bring none, the one that runs this. */
export function node() {
  return existsSync(ownNode) ? ownNode : process.execPath;
}

/** Makes `node_modules` what `package-lock.json` says, and sees that its Node runs. Throws `SetupError`. */
export async function ensurePackages() {
  if (!packagesMatch()) await alone(installPackages);
  const version = versionOf(node(), ['--version']);
  if (version === undefined || isOlder(version, '24.16.0')) {
    throw new SetupError(
      `Node 24 is missing: the packages bring it for linux-x64 and linux-arm64, and this is ${process.platform}-${process.arch}; install Node 24 and run this again with it`,
    );
  }
}

function installPackages() {
  if (packagesMatch()) return;
  console.error('Fetching packages, Node 24 among them (npm install) …');
  // The machine's npm on the machine's Node: the one in node_modules is about to be replaced.
  const PATH = pathFolders()
    .filter((folder) => resolve(folder) !== dirname(ownNode))
    .join(delimiter);
  // Not `npm ci`: it refuses a lock without the packages of other platforms, and a mirror may lack those. This installs
  // what the lock says all the same, and `--no-save` leaves the lock as it is.
  const args = [
    'install',
    '--no-save',
    '--include=dev',
    '--include=optional',
    '--no-audit',
    '--no-fund',
    '--no-progress',
    '--loglevel=error',
  ];
  const npm = spawnSync('npm', args, { cwd: root, env: { ...process.env, PATH }, encoding: 'utf8' });
  if (npm.status === 0) return;
  process.stderr.write(`${npm.stdout ?? ''}${npm.stderr ?? ''}`);
  throw new SetupError(
    npm.error === undefined ? 'npm install failed' : `npm install could not run: ${npm.error.message}`,
  );
}

/** npm leaves a lock of what it installed in `node_modules`, as its last step. Only packages for other machines may lack. */
function packagesMatch() {
  const installed = packagesIn(join(root, 'node_modules', '.package-lock.json'));
  if (installed === undefined) return false;
  return Object.entries(packagesIn(join(root, 'package-lock.json')) ?? {}).every(([path, wanted]) => {
    const found = installed[path];
    if (found !== undefined) return found.version === wanted.version && found.integrity === wanted.integrity;
    return !path.includes('node_modules/') || wanted.optional === true;
  });
}

function packagesIn(lock) {
  try {
    return JSON.parse(readFileSync(lock, 'utf8')).packages;
  } catch {
    return undefined;
  }
}

/**
 * The path of a server that runs and is new enough: on PATH, fetched before, or fetched now.
 * @param {keyof typeof servers} name
 * @returns {Promise<string>} absolute
 * @throws {SetupError} where there is no way to fetch it
 */
export async function ensureServer(name) {
  const own = join(tools, name);
  return installed(name, own) ?? (await alone(() => installed(name, own) ?? fetchServer(name, own)));
}

/** The environment with the programs of broker and queues in it, and a kubectl on PATH: what tests and the bench need. */
export async function withServers() {
  const kubectl = dirname(await ensureServer('kubectl'));
  const folders = process.env.PATH.split(delimiter);
  return {
    ...process.env,
    NODE_COMPILE_CACHE: process.env.NODE_COMPILE_CACHE || join(root, 'node_modules', '.cache', 'node'),
    SLUICE_NATS_SERVER: process.env.SLUICE_NATS_SERVER || (await ensureServer('nats-server')),
    SLUICE_REDIS_SERVER: process.env.SLUICE_REDIS_SERVER || (await ensureServer('redis-server')),
    PATH: [...(folders.includes(kubectl) ? [] : [kubectl]), ...folders].join(delimiter),
  };
}

/**
 * The kubectls that the scenario is to pass with: Debian's (fetched before, or fetched now), the one on PATH, and those
 * it has beside it.
 * @returns {Promise<string[]>} absolute; each version once
 * @throws {SetupError} where one cannot be fetched or does not run
 */
export async function ensureKubectls() {
  const onPath = await ensureServer('kubectl');
  const missing = () => kubectlSources.filter(({ suite }) => !works('kubectl', kubectlOf(suite)));
  if (missing().length > 0) await alone(() => fetchKubectls(missing()));
  return eachVersionOnce([...kubectlSources.map(({ suite }) => kubectlOf(suite)), ...kubectlsBeside(onPath), onPath]);
}

function kubectlOf(suite) {
  return join(tools, `kubectl-${suite}`);
}

/** The library that shows a process another time (`LD_PRELOAD`), for the fault experiments. Throws `SetupError`. */
export async function ensureFaketime() {
  const own = join(tools, faketime);
  if (!existsSync(own)) await alone(() => fetchFaketime(own));
  return own;
}

function fetchFaketime(own) {
  if (existsSync(own)) return;
  console.error('Fetching libfaketime from Debian, without root, into .sluice/tools …');
  const scratch = join(tools, 'fetching');
  try {
    const fetched = fetchFileFromDebian('libfaketime', faketime, scratch);
    if (fetched === undefined) throw new SetupError('libfaketime is missing and cannot be fetched here');
    renameSync(fetched, own);
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

function fetchKubectls(sources) {
  if (sources.length === 0) return;
  const names = sources.map(({ suite }) => suite).join(', ');
  console.error(`Fetching kubectl from Debian ${names}, without root, into .sluice/tools …`);
  const scratch = join(tools, 'fetching');
  try {
    for (const [i, fetched] of fetchFromSuites('kubectl', sources, scratch).entries()) {
      if (fetched === undefined || !works('kubectl', fetched)) {
        throw new SetupError(`the kubectl of Debian ${sources[i].suite} cannot be fetched here`);
      }
      renameSync(fetched, kubectlOf(sources[i].suite));
    }
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

/** A kubectl may be a dispatcher: it asks the cluster's version, and runs the `kubectl.1.*` beside it that fits. */
export function kubectlsBeside(kubectl) {
  const folder = dirname(realpathSync(kubectl));
  return readdirSync(folder)
    .filter((file) => /^kubectl\.1\.\d+$/.test(file))
    .map((file) => join(folder, file));
}

/** The first of each version. One that does not run is an error: left out, it would go unseen. */
export function eachVersionOnce(kubectls) {
  const byVersion = new Map();
  for (const kubectl of kubectls) {
    const version = versionOf(kubectl, servers.kubectl.version);
    if (version === undefined) throw new SetupError(`${kubectl} does not run`);
    if (!byVersion.has(version)) byVersion.set(version, kubectl);
  }
  return [...byVersion.values()];
}

function installed(name, own) {
  return [...pathFolders().map((folder) => join(folder, name)), own].find((file) => works(name, file));
}

function works(name, file) {
  const { version, oldest } = servers[name];
  const found = versionOf(file, version);
  return found !== undefined && !isOlder(found, oldest);
}

function fetchServer(name, own) {
  const { oldest, formula, packages } = servers[name];
  if (process.platform === 'darwin') {
    console.error(`Fetching ${name} (brew install ${formula}) …`);
    spawnSync('brew', ['install', '--quiet', formula], { stdio: ['ignore', 2, 2] });
    const found = installed(name, own);
    if (found !== undefined) return found;
  } else {
    const scratch = join(tools, 'fetching');
    console.error(`Looking for ${name} in Debian's package lists …`);
    const say = (place) => console.error(`Fetching ${name} from ${place}, without root, into .sluice/tools …`);
    try {
      const isGood = (version) => !isOlder(version, oldest);
      const fetched =
        packages === undefined
          ? fetchFromDebian(name, isGood, scratch, say)
          : fetchWithLibraries(name, packages, isGood, scratch, say);
      if (fetched !== undefined && works(name, fetched)) {
        // A rename is all or nothing: what stands at its place is whole.
        if (packages !== undefined) {
          rmSync(treeOf(own), { recursive: true, force: true });
          renameSync(treeOf(fetched), treeOf(own));
        }
        renameSync(fetched, own);
        return own;
      }
    } finally {
      rmSync(scratch, { recursive: true, force: true });
    }
  }
  throw new SetupError(
    `${name} ${oldest} or newer is missing and cannot be fetched here; install it and put it on PATH`,
  );
}

/** Runs `task` while no other process of this clone does: two at once would undo each other's work. */
async function alone(task) {
  mkdirSync(tools, { recursive: true });
  const lock = join(tools, 'setup.lock');
  for (let isFirst = true; !takeLock(lock); isFirst = false) {
    if (isFirst)
      console.error('Waiting for another process that is fetching (its id is in .sluice/tools/setup.lock) …');
    await sleep(200);
  }
  try {
    return await task();
  } finally {
    rmSync(lock, { force: true });
  }
}

function takeLock(lock) {
  try {
    writeFileSync(lock, String(process.pid), { flag: 'wx' });
    return true;
  } catch (error) {
    if (error.code !== 'EEXIST') throw error;
  }
  // A process that was killed leaves its lock behind. An empty lock is one that is being written.
  try {
    process.kill(Number(readFileSync(lock, 'utf8')), 0);
  } catch (error) {
    if (error.code === 'ESRCH') rmSync(lock, { force: true });
  }
  return false;
}

function pathFolders() {
  return (process.env.PATH ?? '').split(delimiter).filter((folder) => folder !== '');
}

/** What a program says its version is; undefined if it does not run. */
function versionOf(file, args) {
  const { status, stdout } = spawnSync(file, args, { encoding: 'utf8', timeout: 30_000 });
  return status === 0 ? stdout.match(/\d+\.\d+\.\d+/)?.[0] : undefined;
}

function isOlder(version, oldest) {
  const [left, right] = [version, oldest].map((text) => text.split('.').map(Number));
  const difference = left.findIndex((part, i) => part !== right[i]);
  return difference !== -1 && left[difference] < right[difference];
}

/** What else can be asked for by name; each gives paths. */
const others = {
  libfaketime: async () => [await ensureFaketime()],
  'kubectl-versions': ensureKubectls,
};

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  await main(async () => {
    for (const name of process.argv.slice(2)) {
      if (!Object.hasOwn(others, name) && !Object.hasOwn(servers, name)) {
        const known = [...Object.keys(servers), ...Object.keys(others)];
        throw new SetupError(`unknown server "${name}"; there are ${known.join(', ')}`);
      }
      const paths = Object.hasOwn(others, name) ? await others[name]() : [await ensureServer(name)];
      for (const path of paths) console.log(path);
    }
    return 0;
  });
}
