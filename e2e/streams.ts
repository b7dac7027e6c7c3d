// What tests of streams have in common: pods to try them on, in the demo cluster or a real one.
import { join } from 'node:path';
import type { Upstream } from '@sluice/testing';

/** A container. */
export interface Place {
  readonly pod: string;
  readonly container: string;
}

export interface Stage {
  readonly namespace: string;
  /** Ticks in its log, and serves a page at port 8080. */
  readonly web: Place;
  readonly page: string;
  /** Answers each line of its stdin with `got: LINE`. */
  readonly echo: Place;
}

/** The demo cluster has its pods from the start; a real one has been given some. */
export function stageOf({ kind }: Upstream): Stage {
  const main = (pod: string): Place => ({ pod, container: 'main' });
  if (kind === 'demo')
    return { namespace: 'shop', web: main('toolbox'), page: 'hello from toolbox', echo: main('console') };
  return { namespace: 'default', web: main('web'), page: 'hello from busybox httpd', echo: main('hostnet') };
}

/** Allows every kind of stream, interactive shells and proxies too. */
export const everyStream = join(import.meta.dirname, 'policies', 'streams.yaml');
