import { maxPayloadBytes } from '@sluice/model';

export interface BrokerConfig {
  readonly port: number;
  /** Entries of `authorization { users }`, one a line: `brokerUsers`. */
  readonly users: string;
  /** PEM files. */
  readonly certificate: { readonly cert: string; readonly key: string };
  readonly storeDir: string;
  readonly maxStoreBytes: number;
}

/** The configuration of a nats-server for Sluice alone, on loopback. */
export function brokerConfig({ port, users, certificate, storeDir, maxStoreBytes }: BrokerConfig): string {
  return `server_name: sluice
listen: "127.0.0.1:${port}"
max_payload: ${maxPayloadBytes}
tls { cert_file: ${JSON.stringify(certificate.cert)}, key_file: ${JSON.stringify(certificate.key)} }
jetstream { store_dir: ${JSON.stringify(storeDir)}, max_file_store: ${maxStoreBytes}, max_memory_store: 0 }
${authorization(users)}`;
}

/** The block of nats-server's configuration that knows these users and nobody else. */
export function authorization(users: string): string {
  return `authorization {
  users: [
${users}
  ]
}
`;
}
