import { ApiError, type Stored, textAt } from './objects.ts';

/** Whether an object is chosen. */
export type Selector = (object: Stored) => boolean;

const labelTerm = /^!?\s*([\w./-]+)\s*(?:(==|=|!=|\bin\b|\bnotin\b)\s*(\([^()]*\)|[\w.-]*))?$/;

/** `a=b`, `a==b`, `a!=b`, `a`, `!a`, `a in (b,c)`, `a notin (b)`, joined by commas. Throws `ApiError`. */
export function labelSelector(text: string): Selector {
  const terms = text
    .split(/,(?![^(]*\))/)
    .map((term) => term.trim())
    .filter((term) => term !== '');
  const tests = terms.map((term): Selector => {
    const [, key, operator = '', value = ''] = labelTerm.exec(term) ?? [];
    if (key === undefined) throw new ApiError(400, 'BadRequest', `unable to parse requirement: ${term}`);
    const values = value.replaceAll(/[()\s]/g, '').split(',');
    const label = (object: Stored): string | undefined => object.metadata.labels?.[key];
    if (term.startsWith('!')) return (object) => label(object) === undefined;
    switch (operator) {
      case '':
        return (object) => label(object) !== undefined;
      case '=':
      case '==':
      case 'in':
        return (object) => values.includes(label(object) ?? '\0');
      default:
        return (object) => !values.includes(label(object) ?? '\0');
    }
  });
  return (object) => tests.every((test) => test(object));
}

/** `path=value` and `path!=value`, joined by commas. Throws `ApiError`. */
export function fieldSelector(text: string): Selector {
  const tests = text
    .split(',')
    .filter((term) => term !== '')
    .map((term): Selector => {
      const [, path, operator, value = ''] = /^([\w.]+)(==|=|!=)(.*)$/.exec(term) ?? [];
      if (path === undefined) throw new ApiError(400, 'BadRequest', `invalid field selector: ${term}`);
      const keys = path.split('.');
      return (object) => (textAt(object, ...keys) === value) === (operator !== '!=');
    });
  return (object) => tests.every((test) => test(object));
}
