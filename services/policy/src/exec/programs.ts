// Programs that run other programs, or what they are told in a language of their own. Pure.
import type { Argument, Script, Words } from './command.ts';
import { isHarmlessVariable } from './script.ts';

/** What a command runs besides itself. */
export interface Insides {
  readonly commands: readonly Words[];
  readonly scripts: readonly Script[];
  /** It may run more than that, or something else. */
  readonly isOpaque: boolean;
  /** It runs what it reads from stdin. */
  readonly readsStdin: boolean;
  /** Of a shell that does nothing but run its script: the parameters the script gets. */
  readonly parameters?: Words;
}

const nothing: Insides = { commands: [], scripts: [], isOpaque: false, readsStdin: false };
const opaque: Insides = { ...nothing, isOpaque: true };
const readsStdin: Insides = { ...nothing, readsStdin: true };

/** What a program makes of its arguments. */
type Program = (args: Words, name: string) => Insides;

/** Looks into a command. Its name is known; the programs are known by the last part of it, without a version or variant. */
export function insides([written, ...args]: readonly [string, ...Argument[]]): Insides {
  const name = written.slice(written.lastIndexOf('/') + 1);
  // Another name of the program that runs already, and the loader, which runs any file.
  if (!/^[!-~]+$/.test(name) || /^\/proc\/.*\/exe$/.test(written) || /^ld([.-].*)?\.so/.test(name)) return maybe(args);
  const program = programs.get(name) ?? programs.get(name.replace(/[-.\d].*$/s, ''));
  return program?.(args, name) ?? nothing;
}

/** Words behind a program that are taken for what it runs, for fear that they are. */
const maxGuesses = 16;

/** Of a program whose options nobody here knows well enough: whatever stands behind it may be what it runs. */
function maybe(args: Words): Insides {
  const first = args.slice(0, maxGuesses);
  const commands = first.flatMap((word, index) =>
    word !== null && /^[\w./][\w./:+-]*$/.test(word) ? [args.slice(index)] : [],
  );
  const scripts = first.flatMap((word) =>
    word !== null && /[\s;&|(]/.test(word)
      ? [{ source: word.replace(/^--?[\w-]+=/, ''), dialect: 'bash' as const }]
      : [],
  );
  return { ...nothing, commands, scripts, isOpaque: true };
}

/** Options of a program that runs the command behind them. */
interface Options {
  /** Letters without a value; they may stand together. */
  readonly flags?: string;
  /** Letters with a value, in the same word or the next. */
  readonly values?: string;
  /** Long options. A value follows behind a `=`. */
  readonly long?: readonly string[];
  /** Options with which it runs nothing. */
  readonly idle?: readonly string[];
  /** The form of the word between the options and the command. */
  readonly before?: RegExp;
  /** Options besides. */
  readonly also?: RegExp;
  /** `NAME=VALUE` before the command. */
  readonly variables?: true;
  /** Without a command it runs a shell. */
  readonly shell?: true;
}

/** Arguments that the command gets besides those that are written, or in their place. */
type Rewrite = (command: Words, options: readonly string[]) => Insides;

/** A program that runs the command that its options are followed by; any other option makes it opaque. */
function wrapper(options: Options, rewrite: Rewrite = (command) => ({ ...nothing, commands: [command] })): Program {
  const { flags = '', values = '', long = [], idle = [], before, also, variables, shell } = options;
  return (args) => {
    let at = 0;
    let isOpaque = false;
    const seen: string[] = [];
    for (; at < args.length; at++) {
      const word = args[at];
      if (word === null) return maybe(args);
      if (word === undefined || !word.startsWith('-') || (word === '-' && !flags.includes('-'))) break;
      if (word === '--') {
        at++;
        break;
      }
      if (idle.includes(word)) return nothing;
      seen.push(word);
      if (also?.test(word) || long.includes(word.replace(/=.*/s, '='))) continue;
      const letters = word === '-' ? word : (/^-([^-]+)$/.exec(word)?.[1] ?? '');
      if (letters === '') return maybe(args);
      if (letters.split('').every((letter) => flags.includes(letter))) continue;
      if (!values.includes(letters.charAt(0))) return maybe(args);
      if (letters.length > 1) continue;
      at++;
      const value = args[at];
      if (value === null) return maybe(args);
      seen.push(value ?? '');
    }
    if (variables) {
      for (; args[at]?.includes('='); at++) if (!isHarmlessVariable(args[at]?.split('=')[0] ?? '')) isOpaque = true;
    }
    if (before !== undefined && at < args.length && !before.test(args[at++] ?? '')) return maybe(args);
    const command = args.slice(at);
    if (command.length === 0) return shell ? opaque : isOpaque ? opaque : nothing;
    const inside = rewrite(command, seen);
    return { ...inside, isOpaque: isOpaque || inside.isOpaque };
  };
}

const busybox: Program = (args) => {
  const [applet] = args;
  if (applet === undefined || applet === '--help' || applet === '--list') return nothing;
  if (applet === null || applet.startsWith('-')) return opaque;
  return { ...nothing, commands: [args] };
};

/** `xargs`: what it reads becomes arguments. */
const xargs = wrapper(
  {
    flags: '0rtpx',
    values: 'nLPsdEI',
    long: ['--null', '--no-run-if-empty', '--verbose', '--max-args=', '--max-procs=', '--max-lines=', '--delimiter='],
  },
  (command, options) => {
    const at = options.findIndex((option) => option.startsWith('-I'));
    if (at === -1) return { ...nothing, commands: [[...command, null]] };
    const [, inWord = ''] = /^-I(.*)$/s.exec(options[at] ?? '') ?? [];
    const mark = inWord === '' ? (options[at + 1] ?? '') : inWord;
    return { ...nothing, commands: [filledIn(command, mark)] };
  },
);

function filledIn(command: Words, mark: string): Words {
  return command.map((word) => (word === null || mark === '' || word.includes(mark) ? null : word));
}

const findRuns: ReadonlySet<string> = new Set(['-exec', '-execdir', '-ok', '-okdir']);

const find: Program = (args) => {
  const commands: Words[] = [];
  let isOpaque = args.includes(null);
  for (let at = 0; at < args.length; at++) {
    const word = args[at] ?? '';
    if (word === '-delete') commands.push(['rm', null]);
    if (/^-f(print|ls)/.test(word)) isOpaque = true;
    if (!findRuns.has(word)) continue;
    const end = args.findIndex(
      (one, index) => index > at && (one === ';' || (one === '+' && args[index - 1] === '{}')),
    );
    if (end === -1) return maybe(args);
    commands.push(filledIn(args.slice(at + 1, end), '{}'));
    at = end;
  }
  return { ...nothing, commands, isOpaque };
};

/** Shells whose grammar is the one that is read here, and which of it. */
const dialects: Readonly<Record<string, 'bash' | 'posix'>> = { bash: 'bash', sh: 'posix', dash: 'posix', ash: 'posix' };
const shellOptions: ReadonlySet<string> = new Set(['--norc', '--noprofile', '--posix', '--login', '--restricted']);

const shell: Program = (args, name) => {
  const dialect = dialects[name];
  let hasScript = false;
  let isForStdin = false;
  // It reads files first, in which words may be redefined.
  let isForPeople = false;
  let at = 0;
  for (; at < args.length; at++) {
    const word = args[at];
    if (word === null) return maybe(args);
    if (word === '--version' || word === '--help') return nothing;
    if (word === '--' || word === '-') {
      at++;
      break;
    }
    if (shellOptions.has(word ?? '')) continue;
    const [, sign, letters] = /^([-+])(.+)$/.exec(word ?? '') ?? [];
    if (letters === undefined) break;
    if (!/^[abefhilmnopstuvxBCEHPcO]+$/.test(letters)) return maybe(args);
    if (sign === '-' && letters.includes('c')) hasScript = true;
    if (sign === '-' && letters.includes('s')) isForStdin = true;
    if (sign === '-' && letters.includes('i')) isForPeople = true;
    // Each of them takes a word.
    at += letters.replaceAll(/[^oO]/g, '').length;
  }
  const [source, ...parameters] = args.slice(at);
  if (hasScript) {
    if (source === undefined || source === null) return maybe(args);
    const scripts = [{ source, dialect: dialect ?? 'bash' }];
    return { ...nothing, scripts, isOpaque: dialect === undefined || isForPeople, parameters: parameters.slice(1) };
  }
  // A file with a script may hold anything.
  return source === undefined || isForStdin ? readsStdin : maybe(args);
};

/** Interpreters, editors and clients of databases: with any argument but these, they run what it says. */
const interpreter: Program = (args) => {
  const [first] = args;
  if (args.length === 1 && /^(-V|-v|--version|-version|--help)$/.test(first ?? '')) return nothing;
  return args.every((word) => word === '-' || word === '-i' || word === '-u')
    ? readsStdin
    : { ...opaque, readsStdin: true };
};

const redis: Program = (args) => {
  if (args.some((word) => word === null || word === '-x' || word === '-X' || /^--(eval|pipe|rdb|ldb)/.test(word)))
    return { ...opaque, readsStdin: true };
  let at = 0;
  while (/^-[hpnau]$/.test(args[at] ?? '')) at += 2;
  return args.length > at ? nothing : readsStdin;
};

const awk: Program = (args) => {
  let at = 0;
  for (; /^-[Fv]/.test(args[at] ?? ''); at++) if (args[at]?.length === 2) at++;
  const program = args[at];
  const isSafe =
    !args.includes(null) &&
    program !== undefined &&
    !/^-|system|getline|[|>@]/.test(program ?? '-') &&
    // A variable's value is no program, but gawk calls functions by the names in them.
    !args.slice(at + 1).some((word) => word?.startsWith('-'));
  return isSafe ? nothing : opaque;
};

/** In a pattern space: prints, deletes, quits, translates or substitutes, at lines or at a simple pattern; writes and runs nothing. */
const sedForm =
  /^((\d+|\$|\/([^/\\\n]|\\[^\n])+\/)(,(\d+|\$|\/([^/\\\n]|\\[^\n])+\/))?!?)?([pdq=]|s([/|,#:@%])((?!\8)[^\\\n]|\\[^\n])*\8((?!\8)[^\\\n]|\\[^\n])*\8[gpIi\d]*)$/;

const sed: Program = (args) => {
  if (args.includes(null)) return opaque;
  const scripts: Argument[] = [];
  let at = 0;
  for (; args[at]?.startsWith('-') && args[at] !== '-'; at++) {
    const word = args[at] ?? '';
    if (word === '-e') scripts.push(args[++at] ?? null);
    else if (!/^-[nErsuz]+$/.test(word)) return opaque;
  }
  if (scripts.length === 0) scripts.push(args[at++] ?? null);
  // Some read options anywhere.
  if (args.slice(at).some((word) => word?.startsWith('-') && word !== '-')) return opaque;
  return scripts.every((script) => sedForm.test(script ?? '')) ? nothing : opaque;
};

const tarLong =
  /^--(exclude|directory|strip-components|no-same-owner|no-same-permissions|warning|file|create|extract|list|verbose|gzip|xz|bzip2|numeric-owner|touch|preserve-permissions|to-stdout|wildcards|no-recursion)(=.*)?$/s;

const tar: Program = (args) => {
  const isSafe = args.every((word, index) => {
    // A file by such a name is on another machine, and a shell is run to get there.
    if (word === null || word.includes(':')) return false;
    if (word.startsWith('--')) return word === '--' || tarLong.test(word);
    if (!word.startsWith('-') && index > 0) return true;
    return /^-?([cxtrufvzjJpPmOkhSoC]*|C.+|f.+)$/.test(word);
  });
  return isSafe ? nothing : opaque;
};

/** Programs that run something with some of their options. */
function unless(form: RegExp): Program {
  return (args) => (args.some((word) => word === null || form.test(word)) ? maybe(args) : nothing);
}

/** In a shell: says how variables are set by it. */
const assigns: Program = (args) =>
  args.every((word) => word !== null && (word === '-p' || isHarmlessVariable(word.replace(/=.*/s, ''))))
    ? nothing
    : opaque;

/** Options that change how a script ends and what it prints; its parameters no command is named by. */
const sets: Program = (args) =>
  args.every((word) => /^([-+][aefnuvxC]*o?|errexit|nounset|pipefail|xtrace)$/.test(word ?? '?')) ? nothing : opaque;

const readOptions = wrapper({ flags: 'rs', values: 'dnNpt' }, (names) => assigns(names, 'read'));

/** A shell's test: bash looks into a subscript behind `-v`, and runs what stands there. */
const tests: Program = (args) =>
  args.some((word) => word === null || word === '-v' || word === '-R') ? opaque : nothing;

/** Runs its arguments, joined, as a script. */
const evaluates: Program = (args) => ({
  ...opaque,
  scripts: [{ source: args.map((word) => word ?? '"$unknown"').join(' '), dialect: 'bash' }],
});

const aliases: Program = (args) => ({
  ...opaque,
  scripts: args.flatMap((word) =>
    word?.includes('=') ? [{ source: word.replace(/^[^=]*=/s, ''), dialect: 'bash' }] : [],
  ),
});

/** `-v` and `-V` only describe. */
const command = wrapper({ flags: 'p', idle: ['-v', '-V'] });
const exec: Program = (args) => (args.length === 0 ? opaque : wrapper({ flags: 'cl' })(args, 'exec'));

const groups: readonly (readonly [names: string, program: Program])[] = [
  ['busybox toybox', busybox],
  ['sh bash dash ash rbash ksh mksh zsh fish csh tcsh yash hush lash rc es elvish nu xonsh', shell],
  [
    'env',
    wrapper({ flags: 'i-', values: 'uC', long: ['--unset=', '--chdir=', '--ignore-environment'], variables: true }),
  ],
  ['nice', wrapper({ values: 'n', long: ['--adjustment='], also: /^--?\d+$/ })],
  ['nohup', wrapper({})],
  ['setsid', wrapper({ flags: 'cfw', long: ['--ctty', '--fork', '--wait'] })],
  [
    'timeout',
    wrapper({
      flags: 'v',
      values: 'sk',
      long: ['--signal=', '--kill-after=', '--foreground', '--preserve-status', '--verbose'],
      // Where there is none, an old one runs the word itself.
      before: /^\d[\d.]*[smhd]?$/,
    }),
  ],
  ['time', wrapper({ flags: 'pv' })],
  ['stdbuf', wrapper({ values: 'ioe', long: ['--input=', '--output=', '--error='] })],
  ['ionice', wrapper({ flags: 't', values: 'cn', idle: ['-p'] })],
  ['chrt', wrapper({ flags: 'bfior', before: /^\d+$/, idle: ['-p', '-m'] })],
  ['taskset', wrapper({ flags: 'c', before: /^[\da-fx,-]+$/, idle: ['-p', '-cp', '-pc'] })],
  ['sudo', wrapper({ flags: 'nEHSkb', values: 'ug', variables: true, shell: true })],
  ['doas', wrapper({ flags: 'n', values: 'u', shell: true })],
  ['chroot', wrapper({ long: ['--userspec=', '--groups=', '--skip-chdir'], before: /^./, shell: true })],
  ['command builtin', command],
  ['exec', exec],
  ['xargs', xargs],
  ['find', find],
  // What runs others, with options that are many or unlike from one system to the next.
  [
    `ssh su runuser nsenter unshare setpriv capsh runcon script watch flock parallel strace ltrace gdb gdbserver perf
     valgrind expect unbuffer screen tmux at batch start-stop-daemon run-parts socat systemd-run systemd-nspawn entr rlwrap
     faketime proot fakeroot fakechroot setarch linux32 linux64 i386 x86_64 firejail bwrap cgexec numactl prlimit softlimit
     chpst setuidgid envuidgid envdir setlock gosu su-exec tini dumb-init catatonit s6-setuidgid s6-envdir with-contenv
     execlineb runsv runsvdir inetd udhcpc crond mdev nbd-client daemonize dbus-run-session rsh remsh dropbear dbclient
     cpulimit sg newgrp pkexec machinectl ldd scriptreplay setuid trickle tsocks proxychains torsocks logsave trap
     chronic ifne pee xvfb-run systemd-cat eatmydata nsjail minijail0 lxc-attach`,
    maybe,
  ],
  // What follows files or hooks that say what is run.
  [
    `git hg svn make gmake ninja cmake npm npx yarn pnpm bun deno pip pipx gem bundle cargo go mvn gradle ant rake apt apt-get
     dnf yum apk pacman zypper opkg snap brew systemctl service init rc-service telinit crontab docker podman crictl ctr nerdctl
     kubectl oc helm aws gcloud az argocd terraform ansible rsync scp sftp vim vi nvim view rvim ex ed emacs nano pico joe mc
     rpm dpkg logrotate visudo vipw sudoedit man info iptables-restore insmod modprobe kexec tcl sqlplus impala hive spark-shell`,
    () => opaque,
  ],
  [
    `python pypy perl ruby node nodejs php lua luajit tclsh wish guile racket sbcl clisp Rscript R julia java jshell groovy
     scala kotlin ghci runghc ocaml erl iex elixir pwsh powershell osascript mysql mariadb psql mongo mongosh sqlite sqlite3
     cqlsh clickhouse-client clickhouse dc ftp lftp tftp telnet irb ipython gnuplot octave m4`,
    interpreter,
  ],
  ['redis-cli valkey-cli keydb-cli', redis],
  ['awk gawk mawk nawk', awk],
  ['sed', sed],
  ['tar bsdtar gtar', tar],
  ['nc ncat netcat', unless(/^-\w*[ec]|^--(exec|sh-exec|lua-exec)/)],
  ['sort', unless(/^--comp|^-\w*o|^--o/)],
  ['uniq', (args) => (args.filter((word) => word === null || !word.startsWith('-')).length > 1 ? opaque : nothing)],
  ['split', unless(/^--f/)],
  ['cpio pax', unless(/^--rsh|^--to|:/)],
  ['tcpdump', unless(/^-\w*z/)],
  ['wget', unless(/^--use-askpass|^-\w*i|^--(input|config)|^-e|^--execute/)],
  ['curl', unless(/^-\w*K|^--config/)],
  ['fd fdfind', unless(/^-\w*[xX]|^--exec/)],
  ['rg', unless(/^--pre|^--hostname-bin/)],
  ['zip', unless(/^-\w*T|^--unzip/)],
  ['openssl', unless(/^-?engine$|^s_client$|provider/)],
  ['ip', unless(/^net|^vrf|^-[bf]/)],
  ['mount', unless(/^-\w*t|^--types/)],
  ['less more most', unless(/^[-+]/)],
  // Words of a shell.
  ['eval', evaluates],
  ['alias', aliases],
  [
    '. source unalias hash enable shopt bind complete compgen compopt mapfile readarray declare typeset local let getopts coproc fc history unset',
    () => opaque,
  ],
  ['set', sets],
  ['read', readOptions],
  ['export readonly', assigns],
  ['printf', (args) => (args[0] === null || /^-./.test(args[0] ?? '') ? opaque : nothing)],
  ['wait', unless(/^-/)],
  ['test [', tests],
];

const programs: ReadonlyMap<string, Program> = new Map(
  groups.flatMap(([names, program]) => names.split(/\s+/).map((name) => [name, program] as const)),
);
