{{- define "lastgreen.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "lastgreen.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" }}
{{- else if contains (include "lastgreen.name" .) .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" }}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "lastgreen.name" .) | trunc 50 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "lastgreen.selector" -}}
app.kubernetes.io/name: {{ include "lastgreen.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "lastgreen.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{ include "lastgreen.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "lastgreen.serviceAccount" -}}
{{- default (include "lastgreen.fullname" .) .Values.serviceAccount.name }}
{{- end }}

{{- define "lastgreen.image" -}}
{{- $repository := required "image.repository: nobody publishes an image: build deploy/Dockerfile, push it, and name it here" .Values.image.repository -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" $repository .Values.image.digest }}
{{- else -}}
{{- printf "%s:%s" $repository (default .Chart.AppVersion .Values.image.tag) }}
{{- end }}
{{- end }}

{{- /* What the ledger is: postgresql, sqlite or memory. A `urlFile` is for a URL with a password, so for PostgreSQL. */ -}}
{{- define "lastgreen.ledger" -}}
{{- $ledger := default dict .Values.config.ledger -}}
{{- $url := default "" $ledger.url -}}
{{- if or $ledger.urlFile (hasPrefix "postgres" $url) -}}
postgresql
{{- else if eq $url "memory:" -}}
memory
{{- else -}}
sqlite
{{- end }}
{{- end }}

{{- /* The directory of a SQLite ledger. */ -}}
{{- define "lastgreen.ledgerDirectory" -}}
{{- $ledger := default dict .Values.config.ledger -}}
{{- default "sqlite:///var/lib/lastgreen/ledger.db" $ledger.url | trimPrefix "sqlite://" | dir }}
{{- end }}

{{- define "lastgreen.pluginPort" -}}
{{- default "0.0.0.0:4355" .Values.config.listen | regexFind "[0-9]+$" }}
{{- end }}

{{- define "lastgreen.opsPort" -}}
{{- default "0.0.0.0:9355" (default dict .Values.config.ops).listen | regexFind "[0-9]+$" }}
{{- end }}

{{- /* `drainDelay` in whole seconds, rounded up. */ -}}
{{- define "lastgreen.drainSeconds" -}}
{{- $delay := default "5s" .Values.config.drainDelay -}}
{{- $number := regexFind "^[0-9]+" $delay | int -}}
{{- $unit := regexFind "[a-z]+$" $delay -}}
{{- if eq $unit "ms" -}}
{{- div (add $number 999) 1000 }}
{{- else -}}
{{- mul $number (get (dict "s" 1 "m" 60 "h" 3600 "d" 86400) $unit) }}
{{- end }}
{{- end }}

{{- /* The name of a generator's ConfigMap on Argo CD's side. Takes `root` and `generator`. */ -}}
{{- define "lastgreen.argocdConfigMap" -}}
{{- default (printf "%s-%s" (include "lastgreen.fullname" .root) .generator) (get .root.Values.argocd.configMaps .generator) }}
{{- end }}

{{- /* Whether lastgreen and Argo CD read the very same Secret. */ -}}
{{- define "lastgreen.sharesTokenSecret" -}}
{{- with .Values.secrets.token -}}
{{- if and (eq $.Release.Namespace $.Values.argocd.namespace) (eq .secretName $.Values.argocd.tokenSecret.name) -}}
true
{{- end }}
{{- end }}
{{- end }}

{{- /* What would be accepted by Kubernetes, and be wrong. */ -}}
{{- define "lastgreen.validate" -}}
{{- $ledger := include "lastgreen.ledger" . -}}
{{- if ne $ledger "postgresql" -}}
{{- if gt (int .Values.replicaCount) 1 -}}
{{- fail (printf "replicaCount is %d, but the ledger (%s) is for one pod only: set config.ledger.urlFile to a file with the URL of a PostgreSQL database, or replicaCount to 1" (int .Values.replicaCount) $ledger) }}
{{- end }}
{{- if .Values.autoscaling.enabled -}}
{{- fail (printf "autoscaling.enabled is true, but the ledger (%s) is for one pod only: set config.ledger.urlFile to a file with the URL of a PostgreSQL database, or autoscaling.enabled to false" $ledger) }}
{{- end }}
{{- end }}
{{- range $generator, $_ := .Values.argocd.configMaps -}}
{{- if not (hasKey $.Values.config.generators $generator) -}}
{{- fail (printf "argocd.configMaps names the generator %q, which config.generators does not have" $generator) }}
{{- end }}
{{- end }}
{{- end }}
