import { STATUS_CODES } from 'node:http';
import type { ApiAnswer } from './api.ts';
import { Container } from './container.ts';
import { kindOf } from './kinds.ts';
import type { LogLine } from './main-process.ts';
import { ApiError, type Json, listAt, type Stored, textAt } from './objects.ts';
import type { Store } from './store.ts';

const pods = kindOf('pods');

/** Runs the containers of the pods that somebody looks into. */
export class Kubelet {
  readonly store: Store;
  readonly #containers = new Map<string, Map<string, Container>>();

  constructor(store: Store) {
    this.store = store;
    store.watch(pods, store.version, ({ type, object: { metadata } }) => {
      if (type !== 'DELETED') return;
      for (const container of this.#containers.get(metadata.uid)?.values() ?? []) container.kill();
      this.#containers.delete(metadata.uid);
    });
  }

  /** Throws `ApiError` 404. */
  pod(namespace: string, name: string): Stored {
    return this.store.get(pods, namespace, name);
  }

  /** A container of a pod; an empty name means its only one. Throws `ApiError`. */
  container(pod: Stored, name: string): Container {
    const podName = pod.metadata.name;
    const specs = listAt(pod, 'spec', 'containers') as Json[];
    if (name === '' && specs.length > 1) {
      const names = specs.map((spec) => textAt(spec, 'name')).join(' ');
      throw new ApiError(
        400,
        'BadRequest',
        `a container name must be specified for pod ${podName}, choose one of: [${names}]`,
      );
    }
    const spec =
      name === ''
        ? specs[0]
        : [...specs, ...(listAt(pod, 'spec', 'ephemeralContainers') as Json[])].find((each) => each['name'] === name);
    if (spec === undefined) throw new ApiError(400, 'BadRequest', `container ${name} is not valid for pod ${podName}`);
    let running = this.#containers.get(pod.metadata.uid);
    if (running === undefined) this.#containers.set(pod.metadata.uid, (running = new Map<string, Container>()));
    const key = textAt(spec, 'name');
    const container = running.get(key) ?? new Container(pod, spec, this.store);
    running.set(key, container);
    return container;
  }

  /** What a pod's log answers. Throws `ApiError`. */
  log(namespace: string, podName: string, query: URLSearchParams): ApiAnswer {
    const { main, ended } = this.container(this.pod(namespace, podName), query.get('container') ?? '');
    const tail = Number(query.get('tailLines') ?? Infinity);
    const shown = ({ atMs, text }: LogLine): string =>
      query.get('timestamps') === 'true' ? `${new Date(atMs).toISOString()} ${text}\n` : `${text}\n`;
    const written = main.log
      .slice(Math.max(0, main.log.length - tail))
      .map(shown)
      .join('');
    if (query.get('follow') !== 'true') {
      return { kind: 'bytes', contentType: 'text/plain', body: Buffer.from(written) };
    }
    return {
      kind: 'stream',
      contentType: 'text/plain',
      start(write, end) {
        if (written !== '') write(written);
        const stop = main.follow((line) => write(shown(line)));
        ended.addEventListener('abort', end, { once: true });
        return () => {
          stop();
          ended.removeEventListener('abort', end);
        };
      },
    };
  }

  /** What the server in a pod answers through `pods/NAME:PORT/proxy`. Throws `ApiError`. */
  proxy(namespace: string, target: string, path: string): ApiAnswer {
    const [name = '', port = '8080'] = target.replace(/^https?:/, '').split(':');
    if (!listens(this.pod(namespace, name), Number(port))) {
      const message = `error trying to reach service: dial tcp 10.0.0.7:${port}: connect: connection refused`;
      throw new ApiError(503, 'ServiceUnavailable', message);
    }
    const { code, body } = webPage(name, path);
    if (code !== 200) throw new ApiError(code, STATUS_CODES[code] ?? '', body.trim());
    return { kind: 'bytes', contentType: 'text/html', body: Buffer.from(body) };
  }

  /** What the kubelet answers through `nodes/NAME/proxy`. Throws `ApiError`. */
  nodeProxy(node: string, path: string): ApiAnswer {
    if (path !== 'stats/summary') throw new ApiError(404, 'NotFound', '404 page not found');
    const running = this.store.list(pods, '').filter((pod) => textAt(pod, 'spec', 'nodeName') === node);
    const stats = running.map(({ metadata: { name, namespace, uid } }) => ({ podRef: { name, namespace, uid } }));
    return { kind: 'json', code: 200, body: { node: { nodeName: node }, pods: stats } };
  }
}

/** Whether a container of the pod says that it listens on the port. */
export function listens(pod: Stored, port: number): boolean {
  return listAt(pod, 'spec', 'containers').some((container) =>
    listAt(container, 'ports').some((each) => textAt(each, 'containerPort') === String(port)),
  );
}

/** The one page of the server in every pod. */
export function webPage(pod: string, path: string): { readonly code: 200 | 404; readonly body: string } {
  const isThere = ['', 'index.html'].includes((path.split('?', 1)[0] ?? '').replace(/^\//, ''));
  return isThere ? { code: 200, body: `hello from ${pod}\n` } : { code: 404, body: 'not found\n' };
}
