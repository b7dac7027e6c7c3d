// What a call runs in a pod, or opens into one. Pure.
import { addsContainers, type DecisionRequest, type StreamRequest } from '@sluice/model';
import { readStream } from './reading.ts';
import type { Running } from './terms.ts';

/**
 * The streams that a call is judged by, each by itself; empty where it runs nothing. `object`: the masked body.
 * Ephemeral containers are commands run in a pod: all that the body names, of an update those that run already too.
 */
export function runningBy(request: DecisionRequest, object: Buffer | null): readonly Running[] {
  if (request.stream !== undefined) return [running(request.stream)];
  if (!addsContainers(request.attributes)) return [];
  const containers = containersIn(object);
  // Nobody can say of this body what it runs.
  return (containers.length === 0 ? [unknown] : containers).map(running);
}

function running(stream: StreamRequest): Running {
  return { stream, reading: readStream(stream) };
}

/** Without a command, the image decides what is run. */
const unknown: StreamRequest = {
  kind: 'exec',
  command: [],
  container: '',
  stdin: false,
  stdout: true,
  stderr: true,
  tty: false,
  ports: [],
};

interface Container {
  readonly name?: unknown;
  readonly command?: unknown;
  readonly args?: unknown;
  readonly stdin?: unknown;
  readonly tty?: unknown;
}

function containersIn(object: Buffer | null): readonly StreamRequest[] {
  let parsed: unknown;
  try {
    parsed = JSON.parse(object?.toString() ?? 'null');
  } catch {
    return [];
  }
  const { spec } = (parsed ?? {}) as { readonly spec?: { readonly ephemeralContainers?: unknown } | null };
  const containers: unknown = spec?.ephemeralContainers;
  if (!Array.isArray(containers)) return [];
  return containers.map((container: Container | null) => {
    const { name, command, args, stdin, tty } = container ?? {};
    const argv = isArgv(command) && command.length > 0 && (args === undefined || isArgv(args)) ? command : [];
    return {
      ...unknown,
      command: argv.length === 0 ? [] : [...argv, ...(isArgv(args) ? args : [])],
      container: typeof name === 'string' ? name : '',
      stdin: stdin === true,
      tty: tty === true,
    };
  });
}

function isArgv(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((word) => typeof word === 'string');
}
