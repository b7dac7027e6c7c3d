// A secret and a marker, planted side by side in objects and in a log, for the verifier to look for.
import { relative } from 'node:path';
import { filesUnder } from '@sluice/testing';
import type { Wanted } from './client.ts';
import type { Evidence } from './verifier.ts';

/** The log's line has the secret in its middle: an answer in two halves has half of it in each. */
export const planted: Evidence['planted'] = {
  canary: 'canary-4e1d7a90b2c85f36-4b0e9d27-of-the-faults',
  marker: 'marker-93c0f7e1a84b',
};

const namespace = '/api/v1/namespaces/default';
/** Of a pod that prints the secret. */
export const canaryLog = `${namespace}/pods/canary/log`;

/** Writes them. */
export const plants: readonly Wanted[] = [
  {
    agent: 'writer',
    method: 'POST',
    target: `${namespace}/secrets`,
    body: {
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { name: 'canary', annotations: { says: planted.marker } },
      stringData: { word: planted.canary },
    },
  },
  {
    agent: 'writer',
    method: 'POST',
    target: `${namespace}/pods`,
    body: {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'canary' },
      spec: {
        containers: [
          { name: 'main', image: 'demo/echo:1', command: ['echo', planted.marker, `password=${planted.canary}`] },
        ],
      },
    },
  },
];

/** Reads them again. */
export const looks: readonly Wanted[] = [
  { agent: 'writer', method: 'GET', target: `${namespace}/secrets` },
  { agent: 'archivist', method: 'GET', target: `${namespace}/secrets/canary` },
  { agent: 'writer', method: 'GET', target: `${namespace}/pods/canary` },
  { agent: 'archivist', method: 'GET', target: canaryLog },
];

/** The files of a home as they are. Not the database: what it holds is packed, and the record says it. */
export function filesOf(home: string): Evidence['files'] {
  return filesUnder(home)
    .map(({ file, bytes }) => ({ name: relative(home, file), bytes }))
    .filter(({ name }) => !name.startsWith('database/'))
    .toArray();
}
