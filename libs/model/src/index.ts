// The words every part of Sluice shares: types, closed sets and the frame codec. No I/O, no vendor library.
export * from './agent.ts';
export * from './attributes.ts';
export * from './authority.ts';
export * from './decision.ts';
export * from './detectors.ts';
export * from './frame.ts';
export * from './globs.ts';
export * from './mask-path.ts';
export * from './masking.ts';
export * from './outcome.ts';
export * from './permissions.ts';
export * from './reasons.ts';
export * from './records.ts';
export * from './seal.ts';
export * from './secret-names.ts';
export * from './subjects.ts';
