{{- /* Names, labels, and what must be given; each says in one sentence what is missing. */ -}}

{{- define "postern.name" -}}
{{- $release := .Release.Name | trunc 53 | trimSuffix "-" -}}
{{- if contains .Chart.Name $release -}}
{{- printf "%s-controller" $release | trunc 63 -}}
{{- else -}}
{{- printf "%s-%s-controller" ($release | trunc 43 | trimSuffix "-") .Chart.Name -}}
{{- end -}}
{{- end -}}

{{- /* Of pods and of what selects them: never changes for a release. */ -}}
{{- define "postern.selectorLabels" -}}
app.kubernetes.io/name: postern-controller
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "postern.labels" -}}
{{ include "postern.selectorLabels" . }}
app.kubernetes.io/part-of: postern
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "postern.image" -}}
{{- $repository := required "Cannot render the controller: image.repository is empty and no image is published yet, set it to your own image of dist/controller.js (docs/guides/install.md)" .Values.image.repository -}}
{{- printf "%s:%s" $repository (.Values.image.tag | default .Chart.AppVersion) -}}
{{- end -}}

{{- define "postern.natsUrl" -}}
{{- required "Cannot render the controller: nats.url is empty, set it to your NATS servers with JetStream, as nats://nats.nats:4222" .Values.nats.url -}}
{{- end -}}

{{- define "postern.hasFiles" -}}
{{- if or .Values.nats.credentialsSecret .Values.nats.tls.caSecret .Values.nats.tls.certificateSecret .Values.keys.caConfigMap -}}
yes
{{- end -}}
{{- end -}}
