import assert from 'node:assert/strict';
import type { FuzzTarget } from '@sluice/testing/fuzz';
import { requestAttributes } from './request-info.ts';
import { parseStreamRequest } from './stream-request.ts';
import { parseTarget, TargetError } from './target.ts';

const words =
  'exec attach portforward command= stdin= stdout= tty= container= ports= true false 1 0 & = , %20 + %00 80';

/** The input is a subresource of a pod and a query. What is read is read again from its canonical form. */
export const streamRequest: FuzzTarget = {
  name: 'stream-request',
  corpus: new URL('../fuzz-corpus/stream-request/', import.meta.url),
  words: words.split(' ').map((word) => Buffer.from(word)),
  maxBytes: 1024,
  run(input) {
    const read = (raw: string): unknown => {
      const target = parseTarget(raw);
      const attributes = requestAttributes('POST', target);
      return [attributes && parseStreamRequest(attributes, target), target.canonical];
    };
    const raw = `/api/v1/namespaces/a/pods/p/${input.toString('latin1').replace(/\n$/, '')}`;
    let first: unknown;
    try {
      first = read(raw);
    } catch (error) {
      if (!(error instanceof TargetError)) throw error;
      return error.message;
    }
    const [request, canonical] = first as [ReturnType<typeof parseStreamRequest>, string];
    assert.deepEqual(read(canonical), first);
    if (request === null) return 'none';
    assert.ok(!(request.tty && request.stderr));
    assert.ok(request.ports.every((port) => Number.isInteger(port) && port > 0 && port < 65_536));
    // Go reads the first value of a flag, and takes it as true unless it is 0 or false.
    if (request.kind !== 'portforward') {
      const query = new URLSearchParams(canonical.split('?')[1]);
      const go = (name: string): boolean => !/^(0|false)$/iu.test(query.get(name) ?? '0');
      assert.deepEqual([request.stdin, request.stdout, request.tty], [go('stdin'), go('stdout'), go('tty')]);
      assert.deepEqual(request.command, request.kind === 'exec' ? query.getAll('command') : []);
    }
    return `${request.kind} ${request.command.length} ${request.ports.length} ${request.stdin} ${request.tty}`;
  },
};
