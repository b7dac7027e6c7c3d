// Reads `obligations.mask` of a policy. Pure.
import { type DetectorName, detectors, MaskPathError, type MaskRule, parseMaskPath } from '@sluice/model';
import type { Node } from 'yaml';
import { type PolicyMask, policyMask } from './masks.ts';
import type { FormReader } from './reader.ts';

/** `resource[.group]`; `*` is everything, `*.apps` all of a group. */
const resourceForm = /^(\*|[a-z0-9-]+)(\.[a-z0-9][a-z0-9.-]*)?$/;
const detectorNames = Object.keys(detectors) as DetectorName[];

/** One entry. Faults are reported to `form`. */
export function readMask(form: FormReader, node: Node): PolicyMask {
  const nothing: MaskRule = { resources: [], paths: [], keys: [], detectors: [] };
  const map = form.map(node, ['resources', 'paths', 'keys', 'detectors'], 'a mask');
  if (map === null) return policyMask(nothing);
  const resources = form.forms(
    form.need(map, 'resources'),
    (resource) => resourceForm.test(resource),
    'a mask is of resource[.group] in lower case; * stands for every resource, and subresources are masked like theirs',
  );
  if (!['paths', 'keys', 'detectors'].some((key) => map.has(key)))
    form.fault(map, 'a mask says what is masked: by paths, keys or detectors');
  const paths = form.list(map.get('paths', true), (item) => {
    const path = form.text(item);
    if (path !== '') checkPath(form, item, path);
    return path;
  });
  const named = form.forms(
    map.get('detectors', true),
    (name) => detectorNames.some((one) => one === name),
    `no such detector; known: ${detectorNames.join(', ')}`,
  );
  const keys = form.texts(map.get('keys', true));
  return policyMask({ resources, paths, keys, detectors: detectorNames.filter((name) => named.includes(name)) });
}

function checkPath(form: FormReader, node: Node, path: string): void {
  try {
    parseMaskPath(path);
  } catch (error) {
    if (!(error instanceof MaskPathError)) throw error;
    form.fault(node, error.message, error.at);
  }
}
