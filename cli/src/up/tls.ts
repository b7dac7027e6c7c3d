import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createAuthority, createServerCertificate } from '@sluice/runtime/certificates';
import type { HomePaths } from '../home.ts';

/** PEM files of a server. */
export interface CertificateFiles {
  readonly cert: string;
  readonly key: string;
}

/** Makes the CA of this home where it is missing. */
export async function ensureAuthority(home: HomePaths): Promise<void> {
  const caKey = join(home.keys, 'ca.key');
  if (existsSync(caKey)) return;
  const authority = await createAuthority('Sluice on this machine');
  writeFileSync(home.ca, authority.cert);
  writeFileSync(caKey, authority.key, { mode: 0o600 });
}

/** A fresh certificate of a server, by the CA of this home. */
export async function createCertificate(home: HomePaths, server: 'ingress' | 'broker'): Promise<CertificateFiles> {
  const authority = { cert: readFileSync(home.ca, 'utf8'), key: readFileSync(join(home.keys, 'ca.key'), 'utf8') };
  const files = { cert: join(home.certificates, `${server}.crt`), key: join(home.keys, `${server}.key`) };
  const made = await createServerCertificate(authority);
  writeFileSync(files.cert, made.cert);
  writeFileSync(files.key, made.key, { mode: 0o600 });
  return files;
}

/** A CA and a certificate for the demo cluster, new with every start. */
export async function ensureDemoCertificates(home: HomePaths): Promise<void> {
  const authority = await createAuthority('Sluice demo cluster');
  const server = await createServerCertificate(authority);
  writeFileSync(join(home.demo, 'ca.crt'), authority.cert);
  writeFileSync(join(home.demo, 'tls.crt'), server.cert);
  writeFileSync(join(home.demo, 'tls.key'), server.key, { mode: 0o600 });
}
