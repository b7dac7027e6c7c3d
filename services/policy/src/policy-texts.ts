// Policies with one fault each, and some without any: what the compiler and the JSON Schema are held against.
export const issuers = ['https://id.example'];
/** A rule. */
export const pods = '{ effect: allow, verbs: [get], resources: [pods] }';

/** A rule that asks, with an approval on its third line (line 10, column 17 of `policy`). */
export function asking(approval: string): string {
  return `effect: ask\n      verbs: [delete]\n      approval: ${approval}\n      resources: [pods]`;
}

/** A policy with one rule. Its rule begins at line 8, column 7. */
export function policy(rule: string, name = 'p'): string {
  return `apiVersion: sluice.internal/v1alpha1
kind: AccessPolicy
metadata: { name: ${name} }
spec:
  subjects: [{ agent: demo }]
  obligations: { impersonate: { user: u, groups: [g] } }
  rules:
    - ${rule}
`;
}

/** A rule with `exec` or `ports` on its third line (line 10, column 7 of `policy`). */
function streaming(field: string, { effect = 'allow', resources = 'pods/exec' } = {}): string {
  return policy(`effect: ${effect}\n      verbs: [create]\n      ${field}\n      resources: [${resources}]`);
}

const forward = { resources: 'pods/portforward' } as const;

const execFaults: readonly (readonly [string, string, number, number, RegExp])[] = [
  ['an exec beside pods', streaming('exec: { tty: false }', { resources: 'pods' }), 10, 13, /beside pods\/exec/],
  [
    'an exec beside a port-forward',
    streaming('exec: { tty: false }', { resources: 'pods/exec, pods/portforward' }),
    10,
    13,
    /only beside pods\/exec/,
  ],
  ['an exec that says nothing', streaming('exec: {}'), 10, 13, /exec says what may run/],
  ['an exec that is a list', streaming('exec: [ls]'), 10, 13, /exec is a mapping of commands/],
  ['an unknown field of an exec', streaming('exec: { command: [ls] }'), 10, 15, /unknown field "command"/],
  ['commands without any', streaming('exec: { commands: [] }'), 10, 25, /at least one entry/],
  ['a command that is no list', streaming('exec: { commands: [ls] }'), 10, 26, /a list/],
  ['a command without words', streaming('exec: { commands: [[]] }'), 10, 26, /at least one entry/],
  ['an argument that is a number', streaming('exec: { commands: [[sleep, 5]] }'), 10, 34, /quotes around a number/],
  ['a terminal that is wanted', streaming('exec: { tty: true }'), 10, 20, /tty is false, or is left out/],
  ['a terminal in a deny', streaming('exec: { tty: false }', { effect: 'deny' }), 10, 20, /says interactive/],
  ['stdin in an ask', streaming('exec: { stdin: false }', { effect: 'ask' }), 10, 22, /says interactive/],
  ['an opaque that allows', streaming('exec: { opaque: allow }'), 10, 23, /opaque is deny or ask/],
  ['an opaque that asks in a deny', streaming('exec: { opaque: ask }', { effect: 'deny' }), 10, 23, /opaque is deny/],
  [
    'an interactive that denies in an ask',
    streaming('exec: { interactive: deny }', { effect: 'ask' }),
    10,
    28,
    /interactive is ask/,
  ],
  ['an exec for a URL', policy('{ effect: deny, verbs: [get], nonResourceURLs: [/x], exec: {} }'), 8, 66, /no meaning/],
  ['ports beside an exec', streaming('ports: [80]'), 10, 14, /only beside pods\/portforward/],
  ['ports in an ask', streaming('ports: [80]', { ...forward, effect: 'ask' }), 10, 14, /allow or deny/],
  [
    'ports and an exec',
    streaming('ports: [80]\n      exec: { opaque: ask }', { resources: '"*/*"' }),
    10,
    14,
    /make two rules of it/,
  ],
  ['no ports', streaming('ports: []', forward), 10, 14, /at least one entry/],
  ['a port that is a text', streaming('ports: ["80"]', forward), 10, 15, /a number from 1 to 65535/],
  ['port 0', streaming('ports: [0]', forward), 10, 15, /a number from 1 to 65535/],
  ['a port that is too large', streaming('ports: [80, 65536]', forward), 10, 19, /a number from 1 to 65535/],
  ['a half of a port', streaming('ports: [80.5]', forward), 10, 15, /a number from 1 to 65535/],
  ['a range that runs backwards', streaming('ports: ["90-80"]', forward), 10, 15, /a range such as/],
  [
    'an approval in an allow that never asks',
    streaming('approval: {}\n      exec: { opaque: deny }'),
    10,
    17,
    /a rule that asks/,
  ],
  [
    'a condition on the pod of no stream',
    policy(pods.replace(' }', ', when: "pod.x" }')),
    8,
    64,
    /Unknown variable: pod/,
  ],
];

/** What is wrong, text, line, column, what the message says. */
export const faults: readonly (readonly [string, string, number, number, RegExp])[] = [
  ['no policy at all', '# nothing\n', 1, 1, /no AccessPolicy here/],
  ['a list instead of a policy', '- a\n', 1, 1, /a policy is a mapping of apiVersion/],
  [
    'another apiVersion',
    policy(pods).replace('v1alpha1', 'v2'),
    1,
    13,
    /apiVersion must be sluice\.internal\/v1alpha1/,
  ],
  ['another kind', policy(pods).replace('AccessPolicy', 'Policy'), 2, 7, /kind must be AccessPolicy/],
  [
    'a label',
    policy(pods).replace('name: p', 'name: p, labels: {}'),
    3,
    22,
    /unknown field "labels".*known here: name/,
  ],
  ['an unknown field of the spec', policy(pods).replace('  rules', '  fallback: ask\n  rules'), 7, 3, /"fallback"/],
  [
    'an otherwise that allows',
    policy(pods).replace('  rules', '  otherwise: allow\n  rules'),
    7,
    14,
    /otherwise is deny or ask/,
  ],
  [
    'an empty spec',
    'apiVersion: sluice.internal/v1alpha1\nkind: AccessPolicy\nmetadata: { name: p }\nspec:\n',
    4,
    6,
    /spec is/,
  ],
  [
    'a subject of both kinds',
    policy(pods).replace('demo', 'a, group: b'),
    5,
    14,
    /either \{ agent: NAME \} or \{ group/,
  ],
  ['a subject of neither kind', policy(pods).replace('{ agent: demo }', '{}'), 5, 14, /either \{ agent: NAME \}/],
  ['an issuer that is not configured', policy(pods).replace('demo', 'demo, issuer: x'), 5, 37, /https:\/\/id\.example/],
  ['no subjects', policy(pods).replace('[{ agent: demo }]', '[]'), 5, 13, /a list with at least one entry/],
  ['a system user', policy(pods).replace('user: u', 'user: "system:admin"'), 6, 39, /system: user/],
  ['a system group', policy(pods).replace('[g]', '[g, "system:masters"]'), 6, 54, /system: group/],
  ['an unknown obligation', policy(pods).replace('{ impersonate', '{ notify: sre, impersonate'), 6, 18, /"notify"/],
  [
    'a record that is not full',
    policy(pods).replace('{ impersonate', '{ record: some, impersonate'),
    6,
    26,
    /record must be full/,
  ],
  [
    'a deadline without unit',
    policy(pods).replace('{ impersonate', '{ deadline: "30", impersonate'),
    6,
    28,
    /30s, 10m/,
  ],
  ['a deadline of nothing', policy(pods).replace('{ impersonate', '{ deadline: 0s, impersonate'), 6, 28, /30s, 10m/],
  ['a deadline in days', policy(pods).replace('{ impersonate', '{ deadline: 1d, impersonate'), 6, 28, /30s, 10m/],
  [
    'an ask without identity',
    policy(pods.replace('allow', 'ask')).replace(/ {2}obligations.*\n/, ''),
    5,
    3,
    /needs obligations\.impersonate/,
  ],
  [
    'otherwise ask without identity',
    policy(pods.replace('allow', 'deny')).replace(/obligations.*\n/, 'otherwise: ask\n'),
    5,
    3,
    /needs obligations\.impersonate/,
  ],
  [
    'an allow without identity',
    policy(pods).replace(/ {2}obligations.*\n/, ''),
    5,
    3,
    /needs obligations\.impersonate/,
  ],
  [
    'a misspelt field',
    policy('{ effect: deny, verbs: [get], resources: [pods], whn: "x" }'),
    8,
    56,
    /unknown field "whn"/,
  ],
  [
    'a condition of an unknown variable',
    policy('{ effect: deny, verbs: [get], resources: [pods], when: "x" }'),
    8,
    63,
    /Unknown variable: x/,
  ],
  [
    'a condition that is no text',
    policy('{ effect: deny, verbs: [get], resources: [pods], when: true }'),
    8,
    62,
    /a text is wanted here/,
  ],
  [
    'a condition for a URL at fault',
    policy('{ effect: deny, verbs: [get], nonResourceURLs: [/x], when: "request.pat == \'/x\'" }'),
    8,
    75,
    /No such key: pat/,
  ],
  [
    'a condition on the value of a Secret',
    policy('{ effect: deny, verbs: [create], resources: ["*"], when: "object.data.a == \'\'" }'),
    8,
    65,
    /object\.data is masked/,
  ],
  ['no effect', policy('{ verbs: [get], resources: [pods] }'), 8, 7, /effect is missing/],
  [
    'another effect',
    policy('{ effect: audit, verbs: [get], resources: [pods] }'),
    8,
    17,
    /effect is deny or allow or ask/,
  ],
  ['no verbs', policy('{ effect: deny, resources: [pods] }'), 8, 7, /verbs is missing/],
  ['verbs that are no list', policy('{ effect: deny, verbs: get, resources: [pods] }'), 8, 30, /a list/],
  ['an empty list of verbs', policy('{ effect: deny, verbs: [], resources: [pods] }'), 8, 30, /at least one entry/],
  [
    'an empty list of namespaces',
    policy('{ effect: deny, verbs: [get], resources: [pods], namespaces: [] }'),
    8,
    68,
    /a list/,
  ],
  [
    'a number for a name',
    policy('{ effect: deny, verbs: [get], resources: [pods], names: [1] }'),
    8,
    64,
    /put quotes around/,
  ],
  ['neither resources nor URLs', policy('{ effect: deny, verbs: [get] }'), 8, 7, /either resources or nonResourceURLs/],
  [
    'resources and URLs',
    policy('{ effect: deny, verbs: [get], resources: [pods], nonResourceURLs: [/x] }'),
    8,
    7,
    /either resources or nonResourceURLs/,
  ],
  [
    'a namespace for a URL',
    policy('{ effect: deny, verbs: [get], nonResourceURLs: [/x], namespaces: [a] }'),
    8,
    72,
    /namespaces has no meaning beside nonResourceURLs/,
  ],
  ['a field given twice', policy('{ effect: deny, effect: allow, verbs: [get], resources: [pods] }'), 8, 23, /unique/],
  [
    'a verb that does not exist',
    policy('{ effect: deny, verbs: [detele], resources: [pods] }'),
    8,
    31,
    /no such verb; known here: get/,
  ],
  ['a glob for a verb', policy('{ effect: deny, verbs: ["del*"], resources: [pods] }'), 8, 31, /no such verb/],
  [
    'a glob inside a resource',
    policy('{ effect: deny, verbs: [get], resources: ["pod*"] }'),
    8,
    49,
    /resource\[\.group\]/,
  ],
  ['a resource in capitals', policy('{ effect: deny, verbs: [get], resources: [Pods] }'), 8, 49, /lower case/],
  ['an empty subresource', policy('{ effect: deny, verbs: [get], resources: [pods/] }'), 8, 49, /resource\[\.group\]/],
  [
    'a URL without a slash',
    policy('{ effect: deny, verbs: [get], nonResourceURLs: [version] }'),
    8,
    55,
    /begins with \//,
  ],
  [
    'a URL with a star inside',
    policy('{ effect: deny, verbs: [get], nonResourceURLs: ["/a*b"] }'),
    8,
    55,
    /only at its end/,
  ],
  [
    'a mask that says nothing',
    policy(pods).replace('{ impersonate', '{ mask: [{ resources: [pods] }], impersonate'),
    6,
    25,
    /by paths, keys, detectors or patterns/,
  ],
  [
    'a mask of nothing in particular',
    policy(pods).replace('{ impersonate', '{ mask: [{ keys: [a] }], impersonate'),
    6,
    25,
    /resources is missing/,
  ],
  [
    'a mask of a subresource',
    policy(pods).replace('{ impersonate', '{ mask: [{ resources: [pods/log], keys: [a] }], impersonate'),
    6,
    39,
    /subresources are masked like theirs/,
  ],
  ['a mask that is no list', policy(pods).replace('{ impersonate', '{ mask: none, impersonate'), 6, 24, /a list/],
  [
    'an unknown field of a mask',
    policy(pods).replace('{ impersonate', '{ mask: [{ resources: [pods], key: [a], keys: [a] }], impersonate'),
    6,
    46,
    /unknown field "key"/,
  ],
  [
    'a quoted path that is none',
    policy(pods).replace('{ impersonate', '{ mask: [{ resources: [pods], paths: [".spec[0]"] }], impersonate'),
    6,
    60,
    /a path is made of/,
  ],
  [
    'an unknown detector',
    policy(pods).replace('{ impersonate', '{ mask: [{ resources: [pods], detectors: [magic] }], impersonate'),
    6,
    58,
    /no such detector; known: .*jwt/,
  ],
  [
    'a pattern that is no expression',
    policy(pods).replace('{ impersonate', "{ mask: [{ resources: [pods], patterns: ['abcd[z-a]'] }], impersonate"),
    6,
    63,
    /invalid character class range/,
  ],
  [
    'a pattern without an end',
    policy(pods).replace('{ impersonate', '{ mask: [{ resources: [pods], patterns: ["ACME-.*"] }], impersonate'),
    6,
    58,
    /not match more than 256 characters/,
  ],
  [
    'a pattern that matches everywhere',
    policy(pods).replace('{ impersonate', '{ mask: [{ resources: [pods], patterns: ["[a-z]"] }], impersonate'),
    6,
    58,
    /less than 4 characters/,
  ],
  ['a mask of a rule that is not none', policy(pods.replace(' }', ', mask: all }')), 8, 63, /mask must be none/],
  [
    'mask none in a deny',
    policy(pods.replace('allow', 'deny').replace(' }', ', mask: none }')),
    8,
    62,
    /no meaning in a rule that denies/,
  ],
  [
    'mask none for everything',
    policy(pods.replace('[pods]', '["*"]').replace(' }', ', mask: none }')),
    8,
    62,
    /resources that the rule names/,
  ],
  [
    'mask none for a URL',
    policy('{ effect: allow, verbs: [get], nonResourceURLs: [/x], mask: none }'),
    8,
    67,
    /mask has no meaning beside nonResourceURLs/,
  ],
  ['an approval in a rule that allows', policy(asking('{}').replace('ask', 'allow')), 10, 17, /a rule that asks/],
  ['an approval in a rule that denies', policy(asking('{}').replace('ask', 'deny')), 10, 17, /a rule that asks/],
  ['an approval that says nothing', policy(asking('')), 10, 17, /an approval is a mapping of reviewers, quorum/],
  ['an approval that is a word', policy(asking('once')), 10, 17, /an approval is a mapping of reviewers, quorum/],
  ['an unknown field of an approval', policy(asking('{ by: [a] }')), 10, 19, /unknown field "by" in an approval/],
  ['no reviewers', policy(asking('{ reviewers: [] }')), 10, 30, /at least one entry/],
  ['one reviewer outside a list', policy(asking('{ reviewers: "local:a" }')), 10, 30, /a list/],
  ['a reviewer of nobody', policy(asking('{ reviewers: [alice] }')), 10, 31, /group:NAME or ISSUER:NAME/],
  ['a reviewer without a name', policy(asking('{ reviewers: ["local:a", "local:"] }')), 10, 42, /such as local:alice/],
  ['a reviewer without an issuer', policy(asking('{ reviewers: [":a"] }')), 10, 31, /such as local:alice/],
  ['a reviewer with a blank', policy(asking('{ reviewers: ["local: a"] }')), 10, 31, /such as local:alice/],
  ['a glob of reviewers', policy(asking('{ reviewers: ["group:sre-*"] }')), 10, 31, /\* has no meaning here/],
  ['a quorum of two', policy(asking('{ quorum: 2 }')), 10, 27, /quorum must be 1/],
  ['a quorum that is a text', policy(asking('{ quorum: "1" }')), 10, 27, /quorum must be 1/],
  ['a grant for longer', policy(asking('{ grant: always }')), 10, 26, /grant must be once/],
  ['a hold without unit', policy(asking('{ hold: 60 }')), 10, 25, /a text is wanted here/],
  ['a hold in days', policy(asking('{ hold: 1d }')), 10, 25, /0s, 30s or 5m, at most 10m/],
  ['a hold that is too long', policy(asking('{ hold: 601s }')), 10, 25, /at most 10m/],
  ['a hold longer than the approval is open', policy(asking('{ hold: 5m, expires: 4m }')), 10, 25, /longer than exp/],
  ['an approval open for nobody', policy(asking('{ hold: 0s, expires: 9s }')), 10, 38, /10s, 30m or 4h/],
  ['an approval open for too long', policy(asking('{ expires: 13h }')), 10, 28, /at most 12h/],
  ['an approval open for days', policy(asking('{ expires: 2d }')), 10, 28, /at most 12h/],
  ...execFaults,
  ['a second policy of the same name', `${policy(pods)}---\n${policy(pods)}`, 12, 19, /second policy named "p"/],
  ['a tab for indentation', policy(pods).replace('    -', '\t-'), 8, 1, /[Tt]ab/],
];

/** What it shows, text. */
export const valid: readonly (readonly [string, string])[] = [
  ['one rule', policy(pods)],
  ['a deny alone, without identity', policy(pods.replace('allow', 'deny')).replace(/ {2}obligations.*\n/, '')],
  [
    'a deny alone that says otherwise deny',
    policy(pods.replace('allow', 'deny')).replace(/obligations.*\n/, 'otherwise: deny\n'),
  ],
  ['an ask', policy(pods.replace('allow', 'ask'))],
  ['otherwise ask', policy(pods.replace('allow', 'deny')).replace('  rules', '  otherwise: ask\n  rules')],
  ['connections', policy(pods).replace('  rules', '  connections: ["prod-*", test]\n  rules')],
  ['anyone', policy(pods).replace('{ agent: demo }', '"*"')],
  ['several subjects', policy(pods).replace('{ agent: demo }', '{ agent: "*" }, { group: a }, { group: b }')],
  ['an issuer', policy(pods).replace('agent: demo', 'group: demo, issuer: "https://id.example"')],
  ['a user without groups', policy(pods).replace(', groups: [g]', '')],
  ['a full record and a deadline', policy(pods).replace('{ impersonate', '{ record: full, deadline: 30m, impersonate')],
  [
    'every field of a rule',
    policy(
      '{ name: n, effect: allow, verbs: [get, "*"], resources: [pods], namespaces: ["a-*"], names: [b], when: "true", reason: c }',
    ),
  ],
  [
    'every way to write a resource',
    policy(
      '{ effect: deny, verbs: [proxy, watch, deletecollection], resources: ["*", "*/*", "*.apps", pods/log, "pods/*", "*.apps/scale", deployments.apps/scale, ingresses.networking.k8s.io] }',
    ),
  ],
  [
    'every way to write a URL',
    policy(
      '{ effect: allow, verbs: [get, head, post], nonResourceURLs: [/, /version, "/api/*", "/api*", "*"], when: "true" }',
    ),
  ],
  [
    'every field of an approval',
    policy(asking('{ reviewers: ["group:sre", "local:alice"], quorum: 1, hold: 60s, expires: 30m, grant: once }')),
  ],
  ['an approval that leaves all out', policy(asking('{}'))],
  ['the shortest approval', policy(asking('{ hold: 0s, expires: 60s }'))],
  ['the longest approval', policy(asking('{ hold: 10m, expires: 12h }'))],
  [
    'an approval for a URL',
    policy(
      '{ effect: ask, verbs: [get], nonResourceURLs: [/metrics], approval: { reviewers: ["https://id.example:b"] } }',
    ),
  ],
  ['mask none', policy(pods.replace(' }', ', mask: none }'))],
  [
    'every way to mask',
    policy(pods).replace(
      '{ impersonate',
      '{ mask: [{ resources: ["*", "*.apps", pods, databases.example.com], paths: [".a.b[*]", "..c"], keys: ["*-dsn"], detectors: [jwt, jwt] }, { resources: [pods], keys: [k] }, { resources: [pods], detectors: [private-key] }, { resources: [pods], patterns: ["ACME-[A-Z0-9]{16}"] }], impersonate',
    ),
  ],
  [
    'every field of an exec',
    streaming(
      'exec: { commands: [[ls, "*"], [cat, "/var/log/*"]], tty: false, stdin: false, opaque: ask, interactive: allow }\n      approval: { hold: 0s }',
      { resources: 'pods/exec, pods/attach, pods/ephemeralcontainers, "pods/*", "*/*"' },
    ),
  ],
  ['an exec that denies', streaming('exec: { commands: [[rm, "*"]], opaque: deny }', { effect: 'deny' })],
  ['an exec that asks', streaming('exec: { interactive: ask }', { effect: 'ask' })],
  ['ports', streaming('ports: [80, 65535, "9000-9100"]', { resources: 'pods/portforward, "*/*"' })],
  ['a condition on the pod', streaming('when: "pod.secrets.size() > 0 && exec.tty"')],
  ['a condition of several lines', policy(pods.replace(' }', ', when: "true ||\n        false" }'))],
];
