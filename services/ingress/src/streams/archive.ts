// `kubectl cp` runs tar in the pod: what goes through is an archive.

/** Whether a command writes an archive to stdout, as `kubectl cp` has it do. */
export function writesArchive(command: readonly string[]): boolean {
  const [program = '', first = '', second = ''] = command;
  // With --retries it is `sh -c "tar cf - PATH | tail -c+N"`.
  if (program === 'sh' && first === '-c') return /^tar c[a-z]*f - /.test(second);
  return isTar(program) && /^-?[a-z]*c[a-z]*$/.test(first);
}

/** Whether a command reads one from stdin. */
export function readsArchive([program = '', first = '']: readonly string[]): boolean {
  return isTar(program) && /^-?[a-z]*x[a-z]*$/.test(first);
}

function isTar(program: string): boolean {
  return program === 'tar' || program.endsWith('/tar');
}
