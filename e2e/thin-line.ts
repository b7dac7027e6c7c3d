// What the scenario is about: the objects of one story, each by its `name`, and what it adds to the policies.

/** Of one story: what it is about is not deleted before somebody has looked. */
export const askFirst = (name: string): string => `apiVersion: sluice.internal/v1alpha1
kind: AccessPolicy
metadata: { name: thin-line }
spec:
  subjects: [{ agent: demo }]
  obligations:
    impersonate: { user: "sluice:tier:demo", groups: ["sluice:demo"] }
  rules:
    - name: what-has-users-stays
      effect: ask
      verbs: [delete]
      resources: [deployments.apps, configmaps]
      namespaces: [default]
      names: ["${name}"]
      reason: "Deleted only when a reviewer agrees."
      approval: { hold: 60s, expires: 30m }
`;

/** The objects that are asked about. */
export const askedObjects = (name: string, image: string): string => `apiVersion: v1
kind: ConfigMap
metadata: { name: ${name}, namespace: default }
data: { color: green }
---
apiVersion: apps/v1
kind: Deployment
metadata: { name: ${name}, namespace: default }
spec:
  # No pod comes or goes, so that its status comes to rest.
  replicas: 0
  selector: { matchLabels: { app: ${name} } }
  template:
    metadata: { labels: { app: ${name} } }
    spec: { containers: [{ name: main, image: "${image}" }] }
`;

/** A ConfigMap, and a Secret that nobody is to see. */
export const settings = (name: string, password: string): string => `apiVersion: v1
kind: ConfigMap
metadata: { name: ${name}, namespace: default }
data: { color: green }
---
apiVersion: v1
kind: Secret
metadata: { name: ${name}, namespace: default }
stringData: { password: ${password} }
`;

/** A Deployment with one pod, which writes into its log. */
export const web = (name: string, image: string): string => `apiVersion: apps/v1
kind: Deployment
metadata: { name: ${name}, namespace: default }
spec:
  replicas: 1
  selector: { matchLabels: { app: ${name} } }
  template:
    metadata: { labels: { app: ${name} } }
    spec:
      terminationGracePeriodSeconds: 1
      containers:
        - name: main
          image: ${image}
          imagePullPolicy: Never
          command: [sh, -c, 'i=0; while :; do echo "tick $i"; i=$((i+1)); sleep 1; done']
`;
