import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';

const choose = `
  import { eachVersionOnce, kubectlsBeside } from ${JSON.stringify(join(import.meta.dirname, 'setup.mjs'))};
  console.log(JSON.stringify(eachVersionOnce([...kubectlsBeside('bin/kubectl'), 'bin/kubectl'])));`;

/** What is chosen where `bin/kubectl` is a link into a folder of these programs; each says its version. */
function chosen(programs: Readonly<Record<string, string>>): { readonly kubectls: string[]; readonly stderr: string } {
  const folder = mkdtempSync(join(tmpdir(), 'sluice-setup-'));
  try {
    for (const made of ['bin', 'sdk']) mkdirSync(join(folder, made));
    for (const [name, script] of Object.entries(programs)) {
      writeFileSync(join(folder, 'sdk', name), `#!/bin/sh\n${script}\n`, { mode: 0o755 });
    }
    symlinkSync('../sdk/kubectl', join(folder, 'bin', 'kubectl'));
    const args = ['--input-type=module', '--eval', choose];
    const { stdout, stderr } = spawnSync(process.execPath, args, { cwd: folder, encoding: 'utf8' });
    const kubectls = stdout === '' ? [] : (JSON.parse(stdout) as string[]);
    return { kubectls: kubectls.map((file) => file.slice(file.lastIndexOf('/') + 1)), stderr };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

test('the kubectls of a dispatcher are found behind its link, each version once', () => {
  const { kubectls } = chosen({
    kubectl: 'echo Client Version: v1.33.1',
    'kubectl.1.27': `echo 'Client Version: version.Info{Major:"1", Minor:"27", GitVersion:"v1.27.16"}'`,
    'kubectl.1.33': 'echo Client Version: v1.33.1',
    'kubectl.1.33.md': 'echo Client Version: v1.34.0',
  });
  assert.deepEqual(kubectls.sort(), ['kubectl.1.27', 'kubectl.1.33']);
});

test('a dispatcher with a version of its own is one more', () => {
  const { kubectls } = chosen({ kubectl: 'echo v1.32.4-dispatcher', 'kubectl.1.32': 'echo v1.32.5' });
  assert.deepEqual(kubectls, ['kubectl.1.32', 'kubectl']);
});

test('a kubectl that does not run is an error, not left out', () => {
  const { kubectls, stderr } = chosen({ kubectl: 'echo v1.33.1', 'kubectl.1.33': 'exit 1' });
  assert.deepEqual(kubectls, []);
  assert.match(stderr, /kubectl\.1\.33 does not run/);
});

test('a program with libraries of its own runs from wherever the two are moved, in a folder with a space', () => {
  const folder = mkdtempSync(join(tmpdir(), 'sluice-setup-'));
  try {
    const [made, moved] = [join(folder, 'made'), join(folder, 'moved to')];
    const tree = join(made, 'server.d');
    for (const path of ['usr/bin', 'usr/lib/here', 'usr/share/doc']) mkdirSync(join(tree, path), { recursive: true });
    writeFileSync(join(tree, 'usr/bin/server'), '#!/bin/sh\necho "$LD_LIBRARY_PATH, $1"\n', { mode: 0o755 });
    writeFileSync(join(tree, 'usr/lib/here/libown.so.2'), '');
    const write = `
      import { writeRunner } from ${JSON.stringify(join(import.meta.dirname, 'debian.mjs'))};
      writeRunner(${JSON.stringify(join(made, 'server'))});`;
    spawnSync(process.execPath, ['--input-type=module', '--eval', write]);
    renameSync(made, moved);
    const { stdout } = spawnSync(join(moved, 'server'), ['a b'], { cwd: '/', encoding: 'utf8' });
    assert.equal(stdout, `${moved}/server.d/usr/lib/here, a b\n`);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
