// Debian packages without root: apt with private lists and caches, and dpkg that only unpacks.
//
//   node tools/debian.mjs FOLDER PACKAGE...       unpacks packages of Debian sid somewhere under FOLDER, which it empties
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { basename, dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

/** apt and dpkg call helpers that stand in the system's folders, whatever the user's PATH is. */
const systemPath = `${process.env.PATH}:/usr/sbin:/usr/bin:/sbin:/bin`;

/**
 * Fetches the program of a package of the same name: from the suites this machine uses if they have it new enough,
 * else from Debian sid, where it is newest.
 * @param {string} name of package and program
 * @param {(version: string) => boolean} isGood judges the version a suite offers
 * @param {string} scratch a folder for this alone; the caller removes it
 * @param {(place: string) => void} say told where from, before the download
 * @returns {string | undefined} the program, inside `scratch`; undefined where no suite has it
 */
export function fetchFromDebian(name, isGood, scratch, say) {
  return aptThatOffers(name, isGood, scratch, say)?.program(name, name);
}

/**
 * The same for a program that is spread over packages, and needs libraries that this machine may lack.
 * @param {string[]} packages that make it up, the one of the same name included
 * @returns {string | undefined} a script that runs it; it needs the folder `treeOf(script)` beside it
 */
export function fetchWithLibraries(name, packages, isGood, scratch, say) {
  const apt = aptThatOffers(name, isGood, scratch, say);
  if (apt === undefined) return undefined;
  const tree = apt.unpack([...packages, ...apt.librariesOf(packages)]);
  if (programIn(tree, name) === undefined) return undefined;
  const script = join(scratch, name);
  renameSync(tree, treeOf(script));
  writeRunner(script);
  return script;
}

/** Where the files of a program are that a script runs. */
export function treeOf(script) {
  return `${script}.d`;
}

/** Writes a script that runs the program of its own name in `treeOf(script)`, with the libraries there. Both may be moved. */
export function writeRunner(script) {
  const tree = treeOf(script);
  const libraries = readdirSync(tree, { recursive: true }).filter((file) => /^lib.*\.so(\.|$)/.test(basename(file)));
  const here = (path) => `"$here/${path}"`;
  // `exec`: whoever has started it, and ends it by its id, ends the program.
  const text = `#!/bin/sh
here=\${0%/*}/${basename(tree)}
LD_LIBRARY_PATH=${[...new Set(libraries.map(dirname))].map(here).join(':')} \\
  exec ${here(relative(tree, programIn(tree, basename(script))))} "$@"
`;
  writeFileSync(script, text, { mode: 0o755 });
}

/** The machine's own suites before sid: what is linked against the newest libraries may not run here. */
function aptThatOffers(name, isGood, scratch, say) {
  rmSync(scratch, { recursive: true, force: true });
  const machine = new Apt(join(scratch, 'machine'), []);
  if (machine.offers(name, isGood)) {
    say('the suites this machine uses');
    return machine;
  }
  const sid = machine.debian(join(scratch, 'sid'), ['sid']);
  if (!sid?.offers(name, isGood)) return undefined;
  say('Debian sid');
  return sid;
}

/**
 * Fetches one program as several suites of Debian have it.
 * @param {string} name of the program
 * @param {{ suite: string, package: string }[]} sources the package that holds it in each suite
 * @param {string} scratch a folder for this alone; the caller removes it
 * @returns {(string | undefined)[]} one for each source, inside `scratch`; undefined where it cannot be had
 */
export function fetchFromSuites(name, sources, scratch) {
  rmSync(scratch, { recursive: true, force: true });
  const machine = new Apt(join(scratch, 'machine'), []);
  const suites = sources.map(({ suite }) => suite);
  const debian = machine.debian(join(scratch, 'debian'), suites);
  return sources.map(({ suite, package: holder }) => debian?.program(name, `${holder}/${suite}`));
}

/**
 * Fetches one file of a package, from the suites this machine uses.
 * @param {string} name of the package
 * @param {string} file its name, wherever in the package it is
 * @param {string} scratch a folder for this alone; the caller removes it
 * @returns {string | undefined} the file, inside `scratch`; undefined where it cannot be had
 */
export function fetchFileFromDebian(name, file, scratch) {
  rmSync(scratch, { recursive: true, force: true });
  const tree = new Apt(join(scratch, 'machine'), []).unpack([name]);
  if (!existsSync(tree)) return undefined;
  const found = readdirSync(tree, { recursive: true }).find((path) => basename(path) === file);
  return found === undefined ? undefined : join(tree, found);
}

/** An apt of our own, which keeps everything it writes under one folder. */
class Apt {
  #folder;
  #options;

  constructor(folder, options) {
    this.#folder = folder;
    for (const made of ['lists/partial', 'cache/archives/partial']) mkdirSync(join(folder, made), { recursive: true });
    this.#options = [
      'Dir::State::status=/dev/null',
      `Dir::State::lists=${folder}/lists`,
      `Dir::Cache=${folder}/cache`,
      'APT::Sandbox::User=',
      'Acquire::Languages=none',
      ...options,
    ].flatMap((option) => ['-o', option]);
    // Its exit code says little: one foreign source that is down fails it, and the lists are good all the same.
    this.#run('update', '-qq');
  }

  /** Whether there is a package in a version that is good. */
  offers(name, isGood) {
    const version = this.#run('download', '--print-uris', name).match(/_(?:\d+%3a)?(\d+\.\d+\.\d+)\S*\.deb/)?.[1];
    return version !== undefined && isGood(version);
  }

  /** The program of a package, which may name its suite (`package/suite`), downloaded and unpacked. */
  program(name, holder) {
    return programIn(this.unpack([holder]), name);
  }

  /** Libraries that packages name as theirs. The C library is the machine's: its loader belongs to it. */
  librariesOf(packages) {
    const named = run('apt-cache', [...this.#options, 'depends', '--important', ...packages], this.#folder);
    const libraries = [...named.matchAll(/^ {2}Depends: (lib[^\s<>]+)$/gm)].map(([, library]) => library);
    return [...new Set(libraries)].filter((library) => !/^libc\d/.test(library));
  }

  /** Downloads and unpacks; returns the folder that stands for the root of the file system. */
  unpack(holders) {
    const place = join(this.#folder, 'packages', holders.join('-'));
    mkdirSync(place, { recursive: true });
    run('apt-get', [...this.#options, 'download', '-qq', ...holders], place);
    const tree = join(place, 'tree');
    for (const deb of readdirSync(place).filter((file) => file.endsWith('.deb'))) run('dpkg', ['-x', deb, tree], place);
    return tree;
  }

  /** An apt that reads these suites of Debian alone, from the mirror this machine uses; undefined where it uses none. */
  debian(folder, suites) {
    const mirror = this.#debianMirror();
    if (mirror === undefined) return undefined;
    mkdirSync(folder, { recursive: true });
    const list = join(folder, 'sources.list');
    const key = 'signed-by=/usr/share/keyrings/debian-archive-keyring.gpg';
    writeFileSync(list, suites.map((suite) => `deb [${key}] ${mirror} ${suite} main\n`).join(''));
    return new Apt(folder, [
      `Dir::Etc::sourcelist=${list}`,
      'Dir::Etc::sourceparts=/dev/null',
      'Dir::Etc::preferencesparts=/dev/null',
    ]);
  }

  #debianMirror() {
    const targets = ['Identifier: Packages', 'Component: main', 'Label: Debian'];
    const mirrors = this.#run('indextargets', '--format', '$(REPO_URI)', ...targets)
      .split('\n')
      .filter(Boolean);
    const uses = (mirror) => mirrors.filter((other) => other === mirror).length;
    return mirrors.sort((left, right) => uses(right) - uses(left))[0];
  }

  #run(...args) {
    return run('apt-get', [...this.#options, ...args], this.#folder);
  }
}

function programIn(tree, name) {
  return ['usr/bin', 'usr/sbin'].map((folder) => join(tree, folder, name)).find((file) => existsSync(file));
}

/** Output of a command. One that fails, or is not there, has said nothing: what it was to bring is then found missing. */
function run(command, args, cwd) {
  return spawnSync(command, args, { cwd, env: { ...process.env, PATH: systemPath }, encoding: 'utf8' }).stdout ?? '';
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [folder, ...names] = process.argv.slice(2);
  const scratch = resolve(folder);
  rmSync(scratch, { recursive: true, force: true });
  const sid = new Apt(join(scratch, 'machine'), []).debian(join(scratch, 'sid'), ['sid']);
  if (sid === undefined) throw new Error('this machine uses no Debian mirror');
  sid.unpack(names);
}
