{{- define "operator.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}{{ with .Values.image.digest }}@{{ . }}{{ end }}
{{- end -}}
{{- define "operator.labels" -}}
{app.kubernetes.io/name: openim-operator, app.kubernetes.io/instance: {{ .Release.Name }}}
{{- end -}}
{{- /* The namespaces to watch, separated by commas; empty: all. */ -}}
{{- define "operator.namespaces" -}}
{{ concat .Values.watchNamespaces (compact (list .Values.watchNamespace)) | uniq | join "," }}
{{- end -}}
{{- /* Releases that watch all namespaces look for each other by one name; others may share a namespace. */ -}}
{{- define "operator.lease" -}}
{{ if include "operator.namespaces" . }}{{ .Release.Name }}{{ else }}openim-operator{{ end }}
{{- end -}}
{{- define "operator.podSecurity" -}}
{runAsNonRoot: true, {{ if eq .Values.user "Fixed" }}runAsUser: 65532, runAsGroup: 65532, {{ end }}seccompProfile: {type: RuntimeDefault}}
{{- end -}}
{{- /* How the image is pulled and where the pods run. */ -}}
{{- define "operator.placement" -}}
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
{{- range . }}
- name: {{ . }}
{{- end }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.affinity }}
affinity: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- end -}}
{{- define "operator.rules" -}}
# It gets none itself, but grants that to consoles, and nobody can grant what they do not have.
- apiGroups: [openim.io]
  resources: [openimclusters]
  verbs: [get, list, watch]
- apiGroups: [openim.io]
  resources: [openimclusters/status, openimservices/status]
  verbs: [patch]
# What kubectl scale and autoscalers edit.
- apiGroups: [openim.io]
  resources: [openimservices]
  verbs: [list, watch, create, patch, delete]
# Owner references with blockOwnerDeletion.
- apiGroups: [openim.io]
  resources: [openimclusters/finalizers]
  verbs: [update]
- apiGroups: [apps]
  resources: [deployments, statefulsets]
  verbs: [get, list, watch, create, patch, delete]
# Why the pods of a service do not become ready, and the template of those that serve.
- apiGroups: [apps]
  resources: [replicasets]
  verbs: [list]
- apiGroups: [""]
  resources: [pods]
  verbs: [list, patch]
# A pod of a server that does not serve and keeps its StatefulSet from making the one that is wanted now.
- apiGroups: [""]
  resources: [pods/eviction]
  verbs: [create]
# Volumes grow with the spec.
- apiGroups: [""]
  resources: [persistentvolumeclaims]
  verbs: [list, watch, patch]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [autoscaling]
  resources: [horizontalpodautoscalers]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [batch]
  resources: [jobs, cronjobs]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [networking.k8s.io]
  resources: [ingresses, networkpolicies]
  verbs: [get, list, watch, create, patch, delete]
# Where the Gateway API is there and a cluster asks for it.
- apiGroups: [gateway.networking.k8s.io]
  resources: [httproutes]
  verbs: [get, list, watch, create, patch, delete]
# Where the Prometheus operator is there and a cluster asks for it.
- apiGroups: [monitoring.coreos.com]
  resources: [podmonitors]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [""]
  resources: [services, configmaps]
  verbs: [get, list, watch, create, patch, delete]
# With them a console reads the object of its own cluster. Kubernetes refuses roles with any right that is not in this list.
- apiGroups: [""]
  resources: [serviceaccounts]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [rbac.authorization.k8s.io]
  resources: [roles, rolebindings]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [""]
  resources: [secrets]
  verbs: [get, create, update]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
{{- end -}}
