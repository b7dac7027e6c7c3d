import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createAuthority, createServerCertificate } from '@sluice/runtime/certificates';
import type { HomePaths } from '../home.ts';

/** The CA of this home, made once, and a fresh certificate for ingress; returns the files of the latter. */
export async function ensureCertificates(home: HomePaths): Promise<{ readonly cert: string; readonly key: string }> {
  const caKey = join(home.keys, 'ca.key');
  if (!existsSync(caKey)) {
    const authority = await createAuthority('Sluice on this machine');
    writeFileSync(home.ca, authority.cert);
    writeFileSync(caKey, authority.key, { mode: 0o600 });
  }
  const paths = { cert: join(home.certificates, 'ingress.crt'), key: join(home.keys, 'ingress.key') };
  const authority = { cert: readFileSync(home.ca, 'utf8'), key: readFileSync(caKey, 'utf8') };
  const server = await createServerCertificate(authority);
  writeFileSync(paths.cert, server.cert);
  writeFileSync(paths.key, server.key, { mode: 0o600 });
  return paths;
}

/** A CA and a certificate for the demo cluster, new with every start. */
export async function ensureDemoCertificates(home: HomePaths): Promise<void> {
  const authority = await createAuthority('Sluice demo cluster');
  const server = await createServerCertificate(authority);
  writeFileSync(join(home.demo, 'ca.crt'), authority.cert);
  writeFileSync(join(home.demo, 'tls.crt'), server.cert);
  writeFileSync(join(home.demo, 'tls.key'), server.key, { mode: 0o600 });
}
