import { createHash, randomBytes } from 'node:crypto';
import { posix } from 'node:path';
import { runApplet } from './applets.ts';
import { Files } from './files.ts';
import { Killed, type Stdio } from './job.ts';
import { kindOf } from './kinds.ts';
import { MainProcess } from './main-process.ts';
import { at, isObject, type Json, listAt, type Stored, textAt } from './objects.ts';
import { BrokenPipe } from './pipe.ts';
import type { Store } from './store.ts';

/** A simulated container: files, environment and one process, as its pod's spec and the store had them when it was first looked at. */
export class Container {
  readonly pod: Stored;
  readonly spec: Json;
  readonly files = new Files();
  readonly env: ReadonlyMap<string, string>;
  readonly main: MainProcess;
  readonly #end = new AbortController();

  constructor(pod: Stored, spec: Json, store: Store) {
    this.pod = pod;
    this.spec = spec;
    this.env = environmentOf(pod, spec, store);
    this.files.write('/etc/hostname', `${pod.metadata.name}\n`);
    this.files.write('/etc/hosts', `127.0.0.1 localhost\n10.0.0.7 ${pod.metadata.name}\n`);
    this.files.write('/etc/passwd', 'root:x:0:0:root:/root:/bin/sh\n');
    this.files.write('/data/orders.csv', 'order,amount\n1,19.90\n2,5.00\n');
    this.files.write('/var/log/app.log', 'starting\nlistening on 8080\n');
    mountVolumes(this.files, pod, spec, store);
    this.main = new MainProcess(this);
  }

  get mainCommand(): string {
    return listAt(this.spec, 'command').join(' ') || textAt(this.spec, 'image');
  }

  /** Aborted with `Killed` when the pod is deleted. */
  get ended(): AbortSignal {
    return this.#end.signal;
  }

  /** Runs a command to its end; its exit code. */
  async run(argv: readonly string[], stdio: Stdio, signal: AbortSignal): Promise<number> {
    const [name = '', ...args] = argv;
    const stop = AbortSignal.any([signal, this.ended]);
    const job = { ...stdio, container: this, name, args, env: this.env, directory: '/', depth: 0, signal: stop };
    // A shell takes interrupts itself; of anything else they are the end.
    const interrupt = new AbortController();
    if (stdio.terminal !== undefined) stdio.terminal.onInterrupt = () => interrupt.abort(new Killed(130));
    try {
      return await runApplet({ ...job, signal: AbortSignal.any([stop, interrupt.signal]) });
    } catch (error) {
      if (error instanceof Killed) return error.exitCode;
      if (error instanceof BrokenPipe) return 141;
      throw error;
    }
  }

  kill(): void {
    this.#end.abort(new Killed(137));
  }
}

function environmentOf(pod: Stored, spec: Json, store: Store): Map<string, string> {
  const { name, namespace = '' } = pod.metadata;
  const env = new Map([
    ['PATH', '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'],
    ['HOSTNAME', name],
    ['HOME', '/root'],
    ['KUBERNETES_SERVICE_HOST', '10.96.0.1'],
    ['KUBERNETES_SERVICE_PORT', '443'],
  ]);
  for (const source of listAt(spec, 'envFrom')) {
    for (const resource of ['secret', 'configMap'] as const) {
      const values = valuesOf(store, resource, namespace, textAt(source, `${resource}Ref`, 'name'));
      for (const [key, value] of values) env.set(textAt(source, 'prefix') + key, value.toString());
    }
  }
  for (const variable of listAt(spec, 'env')) {
    let value = textAt(variable, 'value');
    for (const resource of ['secret', 'configMap'] as const) {
      const reference = at(variable, 'valueFrom', `${resource}KeyRef`);
      const values = valuesOf(store, resource, namespace, textAt(reference, 'name'));
      if (reference !== undefined) value = values.get(textAt(reference, 'key'))?.toString() ?? '';
    }
    const path = textAt(variable, 'valueFrom', 'fieldRef', 'fieldPath');
    if (path !== '') value = textAt(pod, ...path.split('.'));
    env.set(textAt(variable, 'name'), value);
  }
  return env;
}

/** The values of a Secret or a ConfigMap by key; none if it is not there. */
function valuesOf(
  store: Store,
  resource: 'secret' | 'configMap',
  namespace: string,
  name: string,
): Map<string, Buffer> {
  const found = store.find(kindOf(`${resource.toLowerCase()}s`), namespace, name);
  const data = at(found, 'data');
  const encoding = resource === 'secret' ? 'base64' : 'utf8';
  return new Map(
    Object.entries(isObject(data) ? data : {}).map(([key, text]) => [key, Buffer.from(String(text), encoding)]),
  );
}

function mountVolumes(files: Files, pod: Stored, spec: Json, store: Store): void {
  const { namespace = '' } = pod.metadata;
  for (const mount of listAt(spec, 'volumeMounts')) {
    const path = textAt(mount, 'mountPath');
    const volume = listAt(pod, 'spec', 'volumes').find((each) => textAt(each, 'name') === textAt(mount, 'name'));
    files.makeDirectory(path, 'with-parents');
    for (const source of [volume, ...listAt(volume, 'projected', 'sources')]) {
      const secret = textAt(source, 'secret', 'secretName') || textAt(source, 'secret', 'name');
      for (const [key, value] of valuesOf(store, 'secret', namespace, secret))
        files.write(posix.join(path, key), value);
      const values = valuesOf(store, 'configMap', namespace, textAt(source, 'configMap', 'name'));
      for (const [key, value] of values) files.write(posix.join(path, key), value);
    }
  }
  if (at(pod, 'spec', 'automountServiceAccountToken') === false) return;
  const account = '/var/run/secrets/kubernetes.io/serviceaccount';
  files.write(`${account}/namespace`, namespace);
  files.write(`${account}/ca.crt`, '-----BEGIN CERTIFICATE-----\nZGVtbw==\n-----END CERTIFICATE-----\n');
  files.write(`${account}/token`, serviceAccountToken(pod));
}

/** Looks like a token of the API server, and is signed with nothing. */
function serviceAccountToken({ metadata: { name, uid, namespace = '' } }: Stored): string {
  const part = (value: Json): string => Buffer.from(JSON.stringify(value)).toString('base64url');
  const claims = { namespace, pod: { name, uid }, serviceaccount: { name: 'default' } };
  const payload = {
    iss: 'https://kubernetes.default.svc',
    'kubernetes.io': claims,
    sub: `system:serviceaccount:${namespace}:default`,
  };
  const kid = createHash('sha256').update(uid).digest('base64url').slice(0, 16);
  return `${part({ alg: 'RS256', kid })}.${part(payload)}.${randomBytes(256).toString('base64url')}`;
}
