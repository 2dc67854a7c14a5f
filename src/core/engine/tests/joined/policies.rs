//! The policies of the histories: together they use all that joins objects, each in a form before and after an edit.

use std::sync::Arc;

use super::super::named;
use crate::core::policy::CompiledPolicy;

/// Each with its forms; the first is in force at the beginning.
pub(super) const SPECS: [(&str, [&str; 2]); 11] = [
    ("chain", [CHAIN, CHAIN_EDITED]),
    ("labels", [LABELS, LABELS_EDITED]),
    ("limits", [LIMITS, LIMITS_EDITED]),
    ("by-name", [BY_NAME, BY_NAME_EDITED]),
    ("by-selector", [BY_SELECTOR, BY_SELECTOR_EDITED]),
    ("groups", [GROUPS, GROUPS_EDITED]),
    ("named-groups", [NAMED_GROUPS, NAMED_GROUPS_EDITED]),
    ("moments", [MOMENTS, MOMENTS_EDITED]),
    ("interval", [INTERVAL, INTERVAL_EDITED]),
    ("twice", [TWICE, TWICE_EDITED]),
    ("cluster", [CLUSTER, CLUSTER_EDITED]),
];

/// The policy with this number in one of its forms.
pub(super) fn compiled(n: usize, form: usize) -> Arc<CompiledPolicy> {
    let (name, forms) = SPECS[n];
    named(name, &format!("uid-{name}"), form as i64 + 1, forms[form])
}

const CHAIN: &str = "
resources: [{name: routes, apiVersion: example.io/v1, kind: Route}]
lookups:
- {name: service, apiVersion: v1, kind: Service, nameExpression: object.spec.service}
- {name: backends, apiVersion: v1, kind: Service, namesExpression: object.spec.backends}
- name: slices
  apiVersion: discovery.k8s.io/v1
  kind: EndpointSlice
  labels: {kubernetes.io/service-name: lookups.service.metadata.name}
  expression: lookups.slices.exists(s, s.endpoints.exists(e, e.ready))
  message: no ready endpoint
- name: pods
  apiVersion: v1
  kind: Pod
  namesExpression: 'lookups.slices.size() > 0 ? lookups.slices[0].endpoints.map(e, e.pod) : []'
  expression: lookups.pods.all(p, p.spec.weight < 6)
  message: heavy
rules:
- name: serves
  expression: lookups.service != null && lookups.slices.exists(s, s.endpoints.exists(e, e.ready))
  messageExpression: \"'nothing serves ' + object.spec.service\"
- name: pods
  severity: high
  expression: lookups.pods.size() > 0 && lookups.pods.all(p, p.spec.weight < 6)
  messageExpression: \"lookups.pods.map(p, p.metadata.name).join(',') + ' on ' + string(object.spec.weight)\"
- {name: backed, expression: 'lookups.backends.all(s, s.spec.port < 5)', messageExpression: \"lookups.backends.map(s, s.metadata.name).join(',')\"}
- {name: light, expression: object.spec.weight < 5, messageExpression: string(object.spec.weight)}
- name: patient
  for: 20s
  keepFor: 30s
  expression: lookups.service != null && lookups.service.spec.port < 5
  messageExpression: \"lookups.service == null ? 'none' : string(lookups.service.spec.port)\"
- name: flapping
  flapping: {opens: 3, within: 2m}
  expression: lookups.slices.exists(s, s.endpoints.exists(e, e.ready))
  message: flaps
";

const CHAIN_EDITED: &str = "
resources: [{name: routes, apiVersion: example.io/v1, kind: Route}]
lookups:
- {name: limits, apiVersion: example.io/v1, kind: Limit}
- {name: service, apiVersion: v1, kind: Service, nameExpression: object.spec.service}
- name: slices
  apiVersion: discovery.k8s.io/v1
  kind: EndpointSlice
  labels: {kubernetes.io/service-name: object.spec.service}
rules:
- name: serves
  expression: lookups.service != null && lookups.slices.exists(s, s.endpoints.exists(e, e.ready))
  message: nothing serves it
- name: pods
  severity: low
  expression: lookups.slices.all(s, s.endpoints.size() > 0) && lookups.limits.all(l, l.spec.max > 1)
  messageExpression: lookups.slices.map(s, s.metadata.name).join(',')
- name: patient
  for: 50s
  expression: lookups.service != null
  message: none
- name: flapping
  flapping: {opens: 2, within: 1m}
  for: 10s
  expression: lookups.slices.exists(s, s.endpoints.exists(e, e.ready))
  message: flaps
";

const LABELS: &str = "
resources:
- {name: routes, apiVersion: example.io/v1, kind: Route, namespaceSelector: {matchLabels: {tier: public}}}
variables:
- {name: zone, expression: \"lookups.node == null ? 'none' : lookups.node.spec.zone\"}
- {name: names, expression: \"lookups.selected.map(p, p.metadata.name).join(',')\"}
lookups:
- {name: node, apiVersion: v1, kind: Node, nameExpression: object.spec.node}
- name: selected
  apiVersion: v1
  kind: Pod
  namespaceExpression: object.spec.where
  labelsExpression: object.spec.pods
- name: anywhere
  apiVersion: v1
  kind: Pod
  namespaceExpression: \"''\"
  labels: {app: object.metadata.labels.app, tier: \"'x'\"}
- {name: space, apiVersion: v1, kind: Namespace, nameExpression: object.metadata.namespace}
matchConditions:
- {name: \"on\", expression: \"variables.zone != 'off'\"}
rules:
- {name: zone, expression: \"variables.zone == 'z1'\", messageExpression: string(variables.zone)}
- name: selected
  expression: lookups.selected.size() < 2
  messageExpression: string(variables.names)
- name: anywhere
  expression: lookups.anywhere.all(p, p.metadata.namespace == object.metadata.namespace)
  messageExpression: lookups.anywhere.map(p, p.metadata.namespace + '.' + p.metadata.name).join(',')
- name: both
  keepFor: 15s
  expression: lookups.selected.all(p, !(p.metadata.name in lookups.anywhere.map(a, a.metadata.name)))
- {name: space, expression: \"lookups.space == null || lookups.space.metadata.labels.?team != object.?spec.?team\"}
- {name: same-space, expression: has(namespaceObject.metadata.labels.team)}
";

const LABELS_EDITED: &str = "
resources:
- {name: routes, apiVersion: example.io/v1, kind: Route, namespaceSelector: {matchLabels: {team: a}}}
lookups:
- {name: selected, apiVersion: v1, kind: Pod, labelsExpression: object.spec.pods}
- {name: spare, apiVersion: v1, kind: Pod}
- {name: backends, apiVersion: v1, kind: Service, namesExpression: object.spec.backends}
matchConditions:
- {name: \"some\", expression: lookups.spare.size() > 1}
rules:
- {name: zone, expression: object.spec.node != ''}
- {name: backed, expression: 'lookups.backends.all(s, s.spec.port < 5)', messageExpression: \"lookups.backends.map(s, s.metadata.name).join(',')\"}
- {name: selected, expression: lookups.selected.size() < 2, messageExpression: string(lookups.selected.size())}
";

const LIMITS: &str = "
resources: [{name: routes, apiVersion: example.io/v1, kind: Route}]
lookups:
- {name: limits, apiVersion: example.io/v1, kind: Limit, labels: {route: object.metadata.name}}
- {name: all, apiVersion: example.io/v1, kind: Limit}
- {name: service, apiVersion: v1, kind: Service, nameExpression: 'lookups.limits[0].spec.service'}
rules:
- {name: if-there, expression: '!has(lookups.limits) || lookups.limits.size() > 0', message: no limit}
- {name: optional, expression: 'lookups.?all.orValue([{}]).size() > 1', message: few limits}
- name: needed
  expression: lookups.limits.all(l, object.spec.weight < l.spec.max)
  messageExpression: \"string(object.spec.weight) + ' of ' + lookups.limits.map(l, string(l.spec.max)).join(',')\"
- {name: through, for: 10s, expression: lookups.service != null, message: no service of a limit}
";

const LIMITS_EDITED: &str = "
resources: [{name: routes, apiVersion: example.io/v1, kind: Route}]
lookups:
- {name: all, apiVersion: example.io/v1, kind: Limit, namespaceExpression: \"'dev'\"}
matchConditions: [{name: limited, expression: has(lookups.all) && lookups.all.size() > 0}]
rules:
- {name: optional, expression: 'lookups.?all.orValue([{}]).size() > 1', message: few limits}
- {name: needed, expression: object.spec.weight < 3}
";

const BY_NAME: &str = "
resources: [{name: routes, apiVersion: example.io/v1, kind: Route}]
params: {apiVersion: v1, kind: ConfigMap, name: c1}
variables: [{name: most, expression: int(params.data.most)}]
lookups:
- {name: pods, apiVersion: v1, kind: Pod, labels: {app: params.data.app}}
rules:
- {name: few, expression: object.spec.weight <= variables.most, messageExpression: \"'more than ' + params.data.most\"}
- {name: some, expression: object.spec.weight > 0}
- {name: waits, for: 15s, keepFor: 15s, expression: object.spec.weight * 2 <= int(params.data.most)}
";

const BY_NAME_EDITED: &str = "
resources: [{name: routes, apiVersion: example.io/v1, kind: Route}]
params: {apiVersion: v1, kind: ConfigMap, name: c2, namespace: ops, parameterNotFoundAction: Deny}
rules:
- {name: few, expression: object.spec.weight <= int(params.data.most), messageExpression: \"'more than ' + params.data.most\"}
- {name: some, expression: object.spec.weight > 1}
- name: grouped
  groupBy: object.spec.service
  expression: objects.size() >= int(params.data.most)
  messageExpression: string(objects.size()) + ' < ' + params.data.most
";

const BY_SELECTOR: &str = "
resources: [{name: services, apiVersion: v1, kind: Service}]
params:
  apiVersion: v1
  kind: ConfigMap
  labelSelector: {matchLabels: {for: routes}}
  parameterNotFoundAction: Deny
lookups:
- {name: pods, apiVersion: v1, kind: Pod, labelsExpression: object.spec.selector}
variables: [{name: least, expression: int(params.data.most)}]
rules:
- name: enough
  expression: lookups.pods.size() >= variables.least
  messageExpression: \"string(lookups.pods.size()) + ' < ' + params.data.most\"
- {name: port, expression: object.spec.port <= int(params.data.most), flapping: {opens: 2, within: 45s}}
- {name: own, expression: object.spec.port < 6}
";

const BY_SELECTOR_EDITED: &str = "
resources: [{name: services, apiVersion: v1, kind: Service}]
params: {apiVersion: v1, kind: ConfigMap, labelSelector: {matchLabels: {for: x}}, namespace: dev}
rules:
- {name: enough, expression: object.spec.port >= int(params.data.most), messageExpression: string(params.metadata.name)}
- name: all
  groupBy: object.metadata.namespace
  groups: {values: [dev, ops, nobody]}
  expression: objects.size() <= int(params.data.most)
  messageExpression: params.metadata.name + string(objects.size())
";

const GROUPS: &str = "
resources: [{name: pods, apiVersion: v1, kind: Pod}]
lookups:
- {name: node, apiVersion: v1, kind: Node, nameExpression: object.spec.node}
params: {apiVersion: v1, kind: ConfigMap, name: c1, namespace: dev}
rules:
- {name: count, groupBy: object.metadata.labels.app, expression: objects.size() < 4, messageExpression: string(objects.size())}
- {name: unique, groupBy: object.metadata.namespace, expression: \"objects.map(o, o.spec.weight).distinct().size() == objects.size()\"}
- name: sum
  groupBy: object.metadata.labels.?tier
  groups: {values: [x, 'y', z]}
  expression: objects.map(o, o.spec.weight).sum() < 12 && objects.size() > 0
  messageExpression: string(objects.map(o, o.spec.weight).sum())
- name: zones
  groupBy: \"lookups.node == null ? dyn(null) : lookups.node.spec.zone\"
  groups: {values: [z1]}
  for: 20s
  keepFor: 20s
  expression: objects.exists(o, o.spec.weight < 3)
  message: nobody is light
- name: limited
  groupBy: object.spec.node
  flapping: {opens: 2, within: 1m}
  expression: objects.size() <= int(params.data.most)
  messageExpression: \"group + ' has more than ' + params.data.most\"
- name: whole
  groupBy: object.metadata.labels.app
  expression: objects.all(a, objects.exists_one(b, b.spec.weight == a.spec.weight))
  messageExpression: objects.map(o, o.metadata.name).join(',')
";

const GROUPS_EDITED: &str = "
resources: [{name: pods, apiVersion: v1, kind: Pod, namespaceSelector: {matchLabels: {tier: public}}}]
matchConditions: [{name: noded, expression: lookups.node != null}]
lookups:
- {name: node, apiVersion: v1, kind: Node, nameExpression: object.spec.node}
rules:
- {name: count, groupBy: lookups.node.spec.zone, expression: objects.size() < 3, messageExpression: string(objects.size())}
- name: sum
  groupBy: object.metadata.labels.?tier
  groups: {values: [x]}
  expression: objects.map(o, o.spec.weight).sum() < 9 && objects.size() > 0
- {name: alive, groupBy: object.metadata.namespace, expression: \"objects.exists(o, now - timestamp(o.spec.since) < duration('40s'))\"}
";

const NAMED_GROUPS: &str = "
resources:
- {name: pods, apiVersion: v1, kind: Pod}
- {name: services, apiVersion: v1, kind: Service}
- {name: limits, apiVersion: example.io/v1, kind: Limit}
lookups:
- {name: slices, apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, labels: {kubernetes.io/service-name: object.metadata.name}}
- {name: space, apiVersion: v1, kind: Namespace, nameExpression: object.metadata.namespace}
params: {apiVersion: v1, kind: ConfigMap, name: c2, namespace: dev}
rules:
- name: backed
  resources: [pods]
  groupBy: object.metadata.labels.app
  groups: {resource: services, expression: object.spec.?selector.?app}
  expression: objects.size() > 0
- name: sliced
  resources: [pods]
  groupBy: object.metadata.name
  groups: {resource: services, expression: 'lookups.slices.size() > 0 ? lookups.slices[0].endpoints[0].pod : dyn(null)'}
  expression: objects.size() > 0
  messageExpression: group
- name: of-limits
  resources: [limits]
  groupBy: object.metadata.namespace
  groups: {values: [dev, ops]}
  for: 10s
  expression: objects.size() >= int(params.data.most)
  messageExpression: string(params.data.most)
- name: named-by-limits
  resources: [pods]
  groupBy: object.metadata.labels.tier
  groups: {resource: limits, expression: object.spec.service}
  expression: objects.size() > 0 && objects.size() < int(params.data.most)
- name: of-limits-and-spaces
  resources: [limits]
  groupBy: lookups.space.metadata.labels.team
  groups: {values: [a, b]}
  expression: objects.size() > 1
";

const NAMED_GROUPS_EDITED: &str = "
resources:
- {name: services, apiVersion: v1, kind: Service}
- {name: limits, apiVersion: example.io/v1, kind: Limit}
lookups:
- {name: node, apiVersion: v1, kind: Node, nameExpression: \"'n1'\"}
matchConditions: [{name: zoned, expression: \"lookups.node != null && lookups.node.spec.zone != 'off'\"}]
rules:
- name: of-limits
  resources: [limits]
  groupBy: object.metadata.namespace
  groups: {resource: services, expression: lookups.node.spec.zone}
  expression: objects.size() > 1
";

const MOMENTS: &str = "
resources: [{name: routes, apiVersion: example.io/v1, kind: Route}]
lookups:
- {name: selected, apiVersion: v1, kind: Pod, labels: {app: object.metadata.labels.app}}
- name: later
  apiVersion: v1
  kind: Service
  nameExpression: \"now < timestamp(object.spec.until) ? 'a' : object.spec.service\"
matchConditions: [{name: begun, expression: \"!has(object.spec.begins) || now >= timestamp(object.spec.begins)\"}]
rules:
- {name: until, expression: now < timestamp(object.spec.until)}
- {name: young, expression: \"lookups.selected.all(p, now - timestamp(p.spec.since) < duration('40s'))\", message: old pods}
- {name: grace, for: 30s, expression: \"now < timestamp(object.spec.until) + duration('10s')\"}
- {name: kept, keepFor: 25s, expression: \"lookups.selected.exists(p, now - timestamp(p.spec.since) > duration('20s'))\"}
- {name: later, expression: lookups.later != null && lookups.later.spec.port < 5, messageExpression: \"lookups.later == null ? 'none' : string(lookups.later.metadata.name)\"}
- {name: light, expression: object.spec.weight < 4}
";

const MOMENTS_EDITED: &str = "
resources: [{name: routes, apiVersion: example.io/v1, kind: Route}]
rules:
- {name: until, expression: \"now < timestamp(object.spec.until) + duration('5s')\"}
- {name: grace, for: 10s, expression: now < timestamp(object.spec.until)}
- {name: kept, keepFor: 45s, expression: object.spec.weight < 2 || now < timestamp(object.spec.until)}
- {name: fresh, groupBy: object.metadata.labels.app, expression: \"objects.all(o, now < timestamp(o.spec.until))\"}
";

const INTERVAL: &str = "
resources: [{name: routes, apiVersion: example.io/v1, kind: Route}]
lookups: [{name: service, apiVersion: v1, kind: Service, nameExpression: object.spec.service}]
rules:
- {name: even, expression: now.getMinutes() % 2 == 0 || lookups.service != null, message: odd}
- {name: pairs, groupBy: object.spec.service, expression: now.getMinutes() % 2 == 0 || objects.size() < 3}
";

const INTERVAL_EDITED: &str = "
resources: [{name: routes, apiVersion: example.io/v1, kind: Route}]
rules:
- {name: even, expression: now.getMinutes() % 3 == 0}
";

const TWICE: &str = "
resources:
- {name: all, apiVersion: v1, kind: Pod}
- {name: some, apiVersion: v1, kind: Pod, namespaces: [dev], labelSelector: {matchLabels: {tier: x}}}
- {name: public, apiVersion: v1, kind: Pod, namespaceSelector: {matchLabels: {tier: public}}}
lookups:
- {name: service, apiVersion: v1, kind: Service, nameExpression: object.metadata.labels.app}
rules:
- name: grouped
  groupBy: object.metadata.labels.app
  expression: objects.size() < 3
  messageExpression: objects.map(o, o.metadata.name).join(',')
- name: few
  resources: [some, public]
  groupBy: object.metadata.namespace
  expression: objects.map(o, o.spec.weight).sum() < 7
  messageExpression: string(objects.map(o, o.spec.weight).sum())
- {name: served, resources: [some, public], expression: lookups.service != null}
- {name: in-order, resources: [public], expression: has(namespaceObject.metadata.labels.team)}
";

const TWICE_EDITED: &str = "
resources:
- {name: public, apiVersion: v1, kind: Pod, namespaceSelector: {matchLabels: {team: a}}}
- {name: some, apiVersion: v1, kind: Pod, excludeNamespaces: [ops]}
lookups:
- {name: space, apiVersion: v1, kind: Namespace, nameExpression: object.metadata.namespace}
rules:
- name: grouped
  groupBy: object.metadata.labels.app
  expression: objects.size() < 2
  messageExpression: objects.map(o, o.metadata.name).join(',')
- {name: served, expression: \"lookups.space != null && lookups.space.metadata.labels.?tier == optional.of('public')\"}
";

const CLUSTER: &str = "
resources:
- {name: nodes, apiVersion: v1, kind: Node}
- {name: spaces, apiVersion: v1, kind: Namespace, namespaceSelector: {matchLabels: {tier: public}}}
lookups:
- {name: pods, apiVersion: v1, kind: Pod, labels: {node: object.metadata.name}}
- {name: named, apiVersion: v1, kind: Service, nameExpression: object.spec.service}
- {name: routes, apiVersion: example.io/v1, kind: Route, namespaceExpression: object.metadata.name}
- {name: peers, apiVersion: v1, kind: Node}
rules:
- {name: crowded, resources: [nodes], expression: lookups.pods.size() < 3, messageExpression: \"lookups.pods.map(p, p.metadata.namespace + '/' + p.metadata.name).join(',')\"}
- {name: named, resources: [nodes], expression: lookups.named == null}
- {name: peers, resources: [nodes], expression: \"lookups.peers.filter(p, p.spec.zone == object.spec.zone).size() == 1\"}
- {name: routes, resources: [spaces], expression: lookups.routes.size() < 3, messageExpression: \"lookups.routes.map(r, r.metadata.name).join(',')\"}
";

const CLUSTER_EDITED: &str = "
resources:
- {name: nodes, apiVersion: v1, kind: Node}
- {name: spaces, apiVersion: v1, kind: Namespace}
lookups:
- {name: pods, apiVersion: v1, kind: Pod, namespaceExpression: \"'ops'\"}
- {name: routes, apiVersion: example.io/v1, kind: Route, namespaceExpression: \"''\", labels: {app: object.metadata.labels.team}}
rules:
- {name: crowded, resources: [nodes], for: 5s, expression: 'lookups.pods.filter(p, p.spec.node == object.metadata.name).size() < 2'}
- {name: routes, resources: [spaces], expression: lookups.routes.size() < 2}
";
