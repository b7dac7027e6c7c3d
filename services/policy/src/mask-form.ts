// Reads `obligations.mask` of a policy. Pure.
import { type DetectorName, detectors as known, MaskPathError, type MaskRule, parseMaskPath } from '@sluice/model';
import { compileMaskPattern, MaskPatternError } from '@sluice/runtime/mask-pattern';
import type { Node } from 'yaml';
import { type PolicyMask, policyMask } from './masks.ts';
import type { FormReader } from './reader.ts';

/** `resource[.group]`; `*` is everything, `*.apps` all of a group. */
const resourceForm = /^(\*|[a-z0-9-]+)(\.[a-z0-9][a-z0-9.-]*)?$/;
const detectorNames = Object.keys(known) as DetectorName[];

/** One entry. Faults are reported to `form`. */
export function readMask(form: FormReader, node: Node): PolicyMask {
  const nothing: MaskRule = { resources: [], paths: [], keys: [], detectors: [] };
  const map = form.map(node, ['resources', 'paths', 'keys', 'detectors', 'patterns'], 'a mask');
  if (map === null) return policyMask(nothing);
  const resources = form.forms(
    form.need(map, 'resources'),
    (resource) => resourceForm.test(resource),
    'a mask is of resource[.group] in lower case; * stands for every resource, and subresources are masked like theirs',
  );
  if (!['paths', 'keys', 'detectors', 'patterns'].some((key) => map.has(key)))
    form.fault(map, 'a mask says what is masked: by paths, keys, detectors or patterns');
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
  const patterns = form.list(map.get('patterns', true), (item) => {
    const pattern = form.text(item);
    if (pattern !== '') checkPattern(form, item, pattern);
    return pattern;
  });
  const detectors = detectorNames.filter((name) => named.includes(name));
  return policyMask({ resources, paths, keys, detectors, ...(patterns.length > 0 && { patterns }) });
}

function checkPattern(form: FormReader, node: Node, pattern: string): void {
  try {
    compileMaskPattern(pattern);
  } catch (error) {
    if (!(error instanceof MaskPatternError)) throw error;
    form.fault(node, error.message, error.at);
  }
}

function checkPath(form: FormReader, node: Node, path: string): void {
  try {
    parseMaskPath(path);
  } catch (error) {
    if (!(error instanceof MaskPathError)) throw error;
    form.fault(node, error.message, error.at);
  }
}
