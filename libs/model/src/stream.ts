/**
 * Channels of an exec or an attach, in the order of their numbers in the `channel.k8s.io` protocols. `error` carries how
 * it ended, a `metav1.Status`.
 */
export const channels = ['stdin', 'stdout', 'stderr', 'error', 'resize'] as const;
export type Channel = (typeof channels)[number];

/** What a stream asks for: its query, as `PodExecOptions`, `PodAttachOptions` and `PodPortForwardOptions` name it. */
export interface StreamRequest {
  readonly kind: 'exec' | 'attach' | 'portforward';
  /** argv of an exec; empty otherwise. */
  readonly command: readonly string[];
  /** Empty: the pod's only one, or its default. */
  readonly container: string;
  readonly stdin: boolean;
  readonly stdout: boolean;
  readonly stderr: boolean;
  readonly tty: boolean;
  /** Of a port-forward over the legacy WebSocket protocol, which names its ports at once; empty otherwise. */
  readonly ports: readonly number[];
}

/**
 * How much can be said of what a stream runs before it runs. `plain`: all of it reduces to commands with known arguments.
 * `opaque`: it does not. `interactive`: what is typed decides, as with a terminal, or a shell that reads stdin.
 */
export type Grade = 'plain' | 'opaque' | 'interactive';

/** The pod of a stream or of ephemeral containers, as Sluice read it itself before it was decided. */
export interface StreamPod {
  readonly uid: string;
  readonly resourceVersion: string;
  /** Names of the Secrets it refers to: environment, volumes, image pull. Not its service account's token. */
  readonly secrets: readonly string[];
}

/** Why somebody cuts something has at most so many characters. */
export const killReasonLength = 200;

/** Asked of every ingress on `sluice.kill`; those that run something of this id cut it and answer. */
export interface KillQuestion {
  /** Of a call, or of a session: all its calls that run. */
  readonly id: string;
  /** Who cuts it: `local:alice`. */
  readonly by: string;
  readonly reason: string;
}

/** Ids of the calls that were cut, one at least. */
export interface KillAnswer {
  readonly calls: readonly string[];
}
