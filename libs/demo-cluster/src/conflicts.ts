import { type Kind, qualifiedName } from './kinds.ts';
import { ApiError, at, type Json, type Stored, textAt } from './objects.ts';

/**
 * What a changed object says of uid and version must be so; nothing is, and a version of 0. Throws `ApiError`: 409, and
 * 422 for another uid in a patch, both in the words of the API server.
 */
export function refuseOther(kind: Kind, current: Stored, wanted: Json, method: string): void {
  const { uid, name, namespace, resourceVersion } = current.metadata;
  const namedUid = textAt(wanted, 'metadata', 'uid');
  const isOther = namedUid !== '' && namedUid !== uid;
  if (isOther && method === 'PUT') {
    const key = ['', 'registry', kind.resource, ...(namespace === undefined ? [] : [namespace]), name].join('/');
    const said = `Precondition failed: UID in precondition: ${namedUid}, UID in object meta: ${uid}`;
    const error = `StorageError: invalid object, Code: 4, Key: ${key}, ResourceVersion: 0, AdditionalErrorMsg: ${said}`;
    throw conflict(kind, qualifiedName(kind), name, error);
  }
  const version = textAt(wanted, 'metadata', 'resourceVersion');
  if (!/^0*$/.test(version) && version !== resourceVersion) {
    const said = 'the object has been modified; please apply your changes to the latest version and try again';
    throw conflict(kind, qualifiedName(kind), name, said);
  }
  if (!isOther) return;
  const message = `Invalid value: "${namedUid}": field is immutable`;
  const causes = [{ reason: 'FieldValueInvalid', field: 'metadata.uid', message }];
  const details = { name, group: kind.group, kind: kind.kind, uid, causes };
  throw new ApiError(422, 'Invalid', `${qualifiedKind(kind)} "${name}" is invalid: metadata.uid: ${message}`, details);
}

/** An apply that says which object it is about does not create another. Throws `ApiError` 409. */
export function refuseGone(kind: Kind, name: string, wanted: Json): void {
  const uid = textAt(wanted, 'metadata', 'uid');
  if (uid === '') return;
  const said = `uid mismatch: the provided object specified uid ${uid}, and no existing object was found`;
  throw conflict(kind, qualifiedName(kind), name, said);
}

/** Holds an object to the `preconditions` of DeleteOptions, if there are any. Throws `ApiError` 409. */
export function refuseUnmet(kind: Kind, { metadata }: Stored, options: unknown): void {
  for (const [field, title, why] of preconditions) {
    if ((at(options, 'preconditions', field) ?? null) === null) continue;
    const wanted = textAt(options, 'preconditions', field);
    if (wanted === metadata[field]) continue;
    const said = `the ${title} in the precondition (${wanted}) does not match the ${title} in record (${metadata[field]}). The object might have been ${why}`;
    throw conflict(kind, qualifiedKind(kind), metadata.name, said);
  }
}

const preconditions = [
  ['uid', 'UID', 'deleted and then recreated'],
  ['resourceVersion', 'ResourceVersion', 'modified'],
] as const;

/** The API server calls the object by its resource in some errors, and by its kind in others. */
function conflict(kind: Kind, called: string, name: string, said: string): ApiError {
  const details = { name, group: kind.group, kind: called.split('.', 1)[0] };
  return new ApiError(409, 'Conflict', `Operation cannot be fulfilled on ${called} "${name}": ${said}`, details);
}

function qualifiedKind({ group, kind }: Kind): string {
  return group === '' ? kind : `${kind}.${group}`;
}
