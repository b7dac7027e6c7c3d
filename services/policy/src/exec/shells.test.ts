// Real shells run scripts that are made up, with programs that only write down that they were run: all that ran has been
// found in the script, or the script is opaque.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import fc from 'fast-check';
import type { Words } from './command.ts';
import { type Reading, readStream } from './reading.ts';

const home = mkdtempSync(join(tmpdir(), 'sluice-shells-'));
after(() => rmSync(home, { recursive: true }));
const bin = join(home, 'bin');
const log = join(home, 'log');
mkdirSync(bin);
for (const name of ['rm', 'ls', 'cat', 'wc', 'env', 'xargs', 'dd']) {
  const file = join(bin, name);
  writeFileSync(file, `#!/bin/sh\nprintf '%s\\0' ${name} "$@" '' >> '${log}'\n`);
  chmodSync(file, 0o755);
}

/** What a shell runs of a script: argvs. */
function run(shell: string, script: string): string[][] {
  writeFileSync(log, '');
  spawnSync(shell, ['-c', script, 'zero', 'one'], { cwd: home, env: { PATH: bin }, stdio: 'ignore', timeout: 5_000 });
  const runs = readFileSync(log, 'utf8').split('\0\0');
  return runs.filter((one) => one !== '').map((one) => one.split('\0'));
}

function read(name: string, script: string): Reading {
  const command = [name, '-c', script, 'zero', 'one'];
  const options = { container: '', stdin: false, stdout: true, stderr: true, tty: false, ports: [] } as const;
  return readStream({ kind: 'exec', command, ...options });
}

/** Whether these words, of which some may be any, can be this argv. */
function covers([word, ...words]: Words, argv: readonly string[]): boolean {
  if (word === undefined) return argv.length === 0;
  if (word === null) return covers(words, argv) || (argv.length > 0 && covers([null, ...words], argv.slice(1)));
  return argv[0] === word && covers(words, argv.slice(1));
}

/** Ways to write a word. */
const spellings: readonly ((word: string) => string)[] = [
  (word) => word,
  (word) => word.replace(/^./, '\\$&'),
  (word) => `'${word}'`,
  (word) => `"${word}"`,
  (word) => word.replace(/^./, '$&""'),
  (word) => word.replace(/^./, "'$&'"),
  (word) => word.replace(/^./, '$&\\\n'),
  (word) => `$'\\x${word.charCodeAt(0).toString(16)}${word.slice(1)}'`,
  (word) => `$(echo ${word})`,
  (word) => `\`echo ${word}\``,
  (word) => `\${none:-${word}}`,
  (word) => `"\${none:=${word}}"`,
  (word) => `$none${word}`,
  (word) => `${word}$none`,
  (word) => `{${word},x}`,
  (word) => `"$(echo '${word}')"`,
  (word) => `"\\${word}"`,
];

/** Ways to hide a command in a script. */
const hidings: readonly ((command: string) => string)[] = [
  (it) => it,
  (it) => `ls; ${it}`,
  (it) => `ls && ${it} || cat`,
  (it) => `ls |${it}|wc`,
  (it) => `ls&${it}\nwait`,
  (it) => `( ${it} )`,
  (it) => `{ ${it}; }`,
  (it) => `{ ${it}\n}`,
  (it) => `if ls; then ${it}; else cat; fi`,
  (it) => `case a in (b) ls;; a|c) ${it};; esac`,
  (it) => `for i in 1 2; do ${it}; done`,
  (it) => `while ${it}; do break; done`,
  (it) => `! ${it}`,
  (it) => `echo "$(${it})"`,
  (it) => `echo \`${it}\``,
  (it) => `x=$(${it})`,
  (it) => `x=1 ${it}`,
  (it) => `export x="$(${it})"`,
  (it) => `echo \${none:-$(${it})}`,
  (it) => `cat <<E\n$(${it})\nE`,
  (it) => `cat <<'E'\n$(rm not)\nE\n${it}`,
  (it) => `cat <<-E\n\t\`${it}\`\n\tE`,
  (it) => `eval '${it}'`,
  (it) => `trap '${it}' EXIT`,
  (it) => `f() { ${it}; }; f`,
  (it) => `set -- ${it}\n"$@"`,
  (it) => `$(echo ${it})`,
  (it) => `echo 'a # b'; ${it} # rm`,
  (it) => `echo a#b; ${it}`,
  (it) => `>/dev/null 2>&1 ${it}`,
  (it) => `cat </dev/null; ${it}`,
  (it) => `[ -z "$(${it})" ]`,
  (it) => `[[ -z $(${it}) ]]`,
  (it) => `cat <(${it})`,
  (it) => `echo $((1 + $(${it}) 2))`,
  (it) => `command ${it}`,
  (it) => `exec ${it}`,
  (it) => `time ${it}`,
  (it) => `echo $'a\\'; ${it} #'`,
  (it) => `echo "a\\"; ${it} #"`,
  (it) => `alias hidden='${it}'\nhidden`,
  (it) => `ls {a,b} ; ${it}`,
  (it) => `sh -c '${it}'`,
  (it) => `"$0"; ${it}`,
  (it) => `echo $# ; ${it}`,
  (it) => `echo \${#none}; ${it}`,
  (it) => `echo \\#; ${it}`,
  (it) => `case x in esac; ${it}`,
  (it) => `echo "$(echo ")")"; ${it}`,
  (it) => `echo $(case x in x) ls;; esac); ${it}`,
  (it) => `echo $(( (1) )); ${it}`,
  (it) => `echo \`echo "a"\`; ${it}`,
  (it) => `for i; do ${it}; done`,
  (it) => `until ! ${it}; do break; done`,
  (it) => `echo a \\\n; ${it}`,
  (it) => `ls 2>&1 |\n${it}`,
  (it) => `echo {; ${it}; echo }`,
  (it) => `echo if then; ${it}`,
  (it) => `echo 'a'"'"'b'; ${it}`,
  (it) => `cat <<A <<B\n$(${it})\nA\nb\nB`,
  (it) => `cat <<A\n\\$(rm not)\nA\n${it}`,
  (it) => `cat <<A | ${it}\n'\nA`,
  (it) => `${it}; exit; rm never`,
  (it) => `ls;${it};`,
  (it) => `if ! ${it}; then :; fi`,
  (it) => `((1)); ${it}`,
  (it) => `((${it}))`,
  (it) => `( (${it}) )`,
  (it) => `x='$('; ${it}; y=')'`,
  (it) => `echo \${none:-'}'}; ${it}`,
  (it) => `echo \${none#\\}}; ${it}`,
  (it) => `echo "\${none:-"}"; ${it}; echo "}"`,
];

const commands = fc
  .tuple(
    fc.constantFrom('rm', 'ls', 'dd'),
    fc.array(fc.constantFrom('-rf', '/data', 'a b', '$none', '*'), { maxLength: 2 }),
  )
  .chain(([name, args]) =>
    fc
      .tuple(fc.constantFrom(...spellings), fc.constantFrom(...spellings))
      .map(([name1, arg1]) => [name1(name), ...args.map((arg) => (/^[-\w/]+$/.test(arg) ? arg1(arg) : arg))].join(' ')),
  );
const scripts = fc
  .tuple(commands, fc.array(fc.constantFrom(...hidings), { minLength: 1, maxLength: 3 }))
  .map(([command, ways]) => ways.reduce((script, hide) => hide(script), command));

for (const [shell, name] of [
  ['/bin/dash', 'sh'],
  ['/bin/bash', 'sh'],
  ['/bin/bash', 'bash'],
] as const) {
  test(`what ${shell} runs as ${name} was found, or the script is opaque`, { skip: !existsSync(shell) }, () => {
    const missed = (script: string): string[][] => {
      const { grade, commands: found } = read(name, script);
      if (grade === 'opaque') return [];
      return run(shell, script).filter((argv) => !found.some((words) => covers(words, argv)));
    };
    fc.assert(
      fc.property(scripts, (script) => {
        assert.deepEqual(missed(script), []);
      }),
      { numRuns: 150 },
    );
  });
}

test('of scripts that run rm, none is plain and without it', () => {
  fc.assert(
    fc.property(scripts, (script) => {
      const { grade, commands: found } = read('bash', script);
      const names = found.map(([first]) => first);
      // A script that is taken for something else than what it is: the shells above say whether it is.
      if (grade === 'plain' && /\br[^a-z]*m\b/.test(script.replaceAll(/rm not|# rm/g, '')))
        assert.ok(names.includes('rm') || !run('/bin/bash', script).some(([first]) => first === 'rm'));
    }),
    { numRuns: 150 },
  );
});

test('any text is read in the end, and never throws', () => {
  const pieces = fc.constantFrom(
    '$(',
    '`',
    '"',
    "'",
    '<<E\n',
    '\n',
    '((',
    '))',
    '{',
    '}',
    ';',
    '|',
    'rm',
    '\\',
    '$',
    '[',
    '\0',
  );
  fc.assert(
    fc.property(fc.array(fc.oneof(pieces, fc.string()), { maxLength: 40 }), (parts) => {
      assert.ok(['plain', 'opaque'].includes(read('sh', parts.join('')).grade));
    }),
  );
});

for (const [what, script] of [
  ['too long', `ls ${'a'.repeat(40_000)}`],
  ['nested too deep', `${'$('.repeat(5_000)}rm${')'.repeat(5_000)}`],
  ['made of too many commands', 'ls;'.repeat(5_000)],
  ['read again and again', `ssh ${`'${'a b;'.repeat(1_000)}' `.repeat(7)}`],
  ['of wrappers without end', 'ssh '.repeat(8_000)],
] as const) {
  test(`a script that is ${what} is opaque`, () => {
    assert.equal(read('sh', script).grade, 'opaque');
  });
}
