import type { Agent, Impersonation } from '@sluice/model';

/**
 * Headers that give a call its identity in the cluster: the tier's user and groups; agent and call travel as
 * extras, into the cluster's own audit log. Values are arrays where a header repeats.
 */
export function impersonationHeaders(
  impersonate: Impersonation,
  agent: Agent,
  call: string,
): Record<string, string | string[]> {
  return {
    'impersonate-user': impersonate.user,
    ...(impersonate.groups.length === 0 ? {} : { 'impersonate-group': [...impersonate.groups] }),
    // Extra values may be any text for Kubernetes, but a header value may not.
    'impersonate-extra-sluice-agent': encodeURIComponent(agent.name),
    'impersonate-extra-sluice-call': call,
  };
}
