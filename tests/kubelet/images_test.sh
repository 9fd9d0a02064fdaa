# Images as the kubelet gets them: policies, failures that tell why, credentials.
# shellcheck shell=bash disable=SC2016,SC2154,SC2317

# shellcheck source=tests/kubelet/kubelet_lib.sh
source ./kubelet_lib.sh

# One registry that wants to know who asks, under three names: the kubelet has credentials for the first in its file, for the
# second from a plugin, and none for the third.
credentials=visitor:open-sesame
private_registry() {
  local host folder=$shared/registry
  mkdir -p "$folder" /var/lib/kubelet /usr/local/lib/credential-providers
  python3 -W ignore -c 'import crypt, sys; user, password = sys.argv[1].split(":")
print(user + ":" + crypt.crypt(password, crypt.mksalt(crypt.METHOD_BLOWFISH, rounds=16)))' "$credentials" >"$folder/htpasswd"
  cat >"$folder/config.yml" <<EOF
version: 0.1
log: {level: warn}
storage: {filesystem: {rootdirectory: $folder/data}}
http: {addr: ':5002'}
auth: {htpasswd: {realm: tests, path: $folder/htpasswd}}
EOF
  for host in 127.0.0.1 127.0.0.2 127.0.0.3; do
    mkdir -p "/etc/cri-nspawn/certs.d/$host:5002"
    printf 'server = "http://%s:5002"\n' $host >"/etc/cri-nspawn/certs.d/$host:5002/hosts.toml"
  done
  systemd-run -q --unit=private-registry docker-registry serve "$folder/config.yml"
  eventually 30 curl -sf -u "$credentials" http://127.0.0.1:5002/v2/
  skopeo copy -q --src-tls-verify=false --dest-tls-verify=false --dest-creds "$credentials" \
    "docker://$busybox" docker://127.0.0.1:5002/private/base:1

  printf '{"auths": {"127.0.0.1:5002": {"auth": "%s"}}}\n' "$(printf %s "$credentials" | base64)" >/var/lib/kubelet/config.json
  chmod 600 /var/lib/kubelet/config.json
  cat >/usr/local/lib/credential-providers/tests-provider <<EOF
#!/bin/sh
cat >$shared/registry/asked
echo '{"kind": "CredentialProviderResponse", "apiVersion": "credentialprovider.kubelet.k8s.io/v1", "cacheKeyType": "Registry",
"auth": {"127.0.0.2:5002": {"username": "${credentials%:*}", "password": "${credentials#*:}"}}}'
EOF
  chmod 755 /usr/local/lib/credential-providers/tests-provider
  cat >/etc/kubernetes/credential-providers.yaml <<'EOF'
apiVersion: kubelet.config.k8s.io/v1
kind: CredentialProviderConfig
providers:
  - name: tests-provider
    matchImages: ['127.0.0.2:5002']
    defaultCacheDuration: 1m
    apiVersion: credentialprovider.kubelet.k8s.io/v1
EOF
  # These two are flags only. What the node's operator may have in /etc/default/kubelet stays as it is.
  printf 'KUBELET_ARGS=%s\n' "--image-credential-provider-config=/etc/kubernetes/credential-providers.yaml --image-credential-provider-bin-dir=/usr/local/lib/credential-providers" \
    >"$folder/kubelet.env"
  mkdir -p "${provider_drop_in%/*}"
  printf '[Service]\nEnvironmentFile=%s\n' "$folder/kubelet.env" >"$provider_drop_in"
  systemctl daemon-reload
  restart_kubelet
}
provider_drop_in=/run/systemd/system/kubelet.service.d/image-credentials.conf
after_file() {
  rm -f "$manifests"/*.yaml "$provider_drop_in" /var/lib/kubelet/config.json
  systemctl daemon-reload
  systemctl stop private-registry.service || true
  restart_kubelet
  eventually 300 no_pods
}

pods_private_registries_get_credentials() {
  private_registry
  local number
  for number in 1 2 3; do
    manifest "private-$number" <<EOF
containers: [{name: main, image: '127.0.0.$number:5002/private/base:1', command: [sleep, inf]}]
EOF
  done
}
test_private_registries_get_credentials() {
  ready private-1
  ready private-2
  equals 127.0.0.2:5002/private/base "$(jq -r .image "$shared/registry/asked")" 'what the plugin was asked for'
  becomes private-3 "$(container main) | .state.waiting.reason | . == \"ErrImagePull\" or . == \"ImagePullBackOff\""
  contains "$(of private-3 "$(container main) | .state.waiting.message")" '127.0.0.3:5002/private/base:1.*(unauthorized|401|credentials)'
  # Neither journal nor status tells the secret.
  lacks "$(journalctl -q --no-pager -u cri-nspawn.service)" "${credentials#*:}"
  lacks "$(crictl images -o json)" "${credentials#*:}"
}

pods_failed_pulls_say_why() {
  manifest no-repository <<EOF
containers: [{name: main, image: $registry/missing/image:1}]
EOF
  manifest no-tag <<EOF
containers: [{name: main, image: $registry/base:no-such-tag}]
EOF
  manifest no-digest <<EOF
containers: [{name: main, image: '$registry/base@sha256:$(printf '%064d' 0)'}]
EOF
  manifest no-registry <<EOF
containers: [{name: main, image: '127.0.0.1:5999/base:1'}]
EOF
  manifest no-name <<EOF
containers: [{name: main, image: '$registry/No/Capitals:1'}]
EOF
  manifest never <<EOF
containers: [{name: main, image: $registry/base:never, imagePullPolicy: Never}]
EOF
  manifest no-command <<EOF
containers: [{name: main, image: $busybox, command: [/no/such/program]}]
EOF
}
test_failed_pulls_say_why() {
  local name
  for name in no-repository no-tag no-digest no-registry; do
    becomes $name "$(container main) | .state.waiting.reason == \"ImagePullBackOff\""
  done
  message_of() { of "$1" "$(container main) | .state.waiting.message"; }
  contains "$(message_of no-repository)" 'Back-off pulling image .*missing/image:1.*(not found|404)'
  contains "$(message_of no-tag)" 'base:no-such-tag.*(not found|404|unknown)'
  contains "$(message_of no-digest)" 'base@sha256:0+.*(not found|404|unknown)'
  contains "$(message_of no-registry)" '127.0.0.1:5999.*[Cc]onnection refused|127.0.0.1:5999.*connect'
  becomes no-name "$(container main) | .state.waiting.reason == \"InvalidImageName\""
  becomes never "$(container main) | .state.waiting.reason == \"ErrImageNeverPull\""
  becomes no-command "$(container main) | (.lastState.terminated // .state.terminated).reason | . == \"StartError\" or . == \"Error\" or . == \"ContainerCannotRun\""
  contains "$(of no-command "$(container main) | (.lastState.terminated // .state.terminated).message")" '/no/such/program'
}

# The kubelet itself has to pull what it is to find present: of an image that it knows by another name only, it asks the
# registry whether the pod may have it, whatever the policy.
pods_pull_policies_are_kept() {
  crictl rmi "$registry/moved:1" >/dev/null 2>&1 || true
  skopeo copy -q --src-tls-verify=false --dest-tls-verify=false "docker://$busybox" "docker://$registry/moved:1"
  manifest not-yet-moved <<EOF
containers: [{name: main, image: $registry/moved:1, command: [sleep, inf]}]
EOF
}
test_pull_policies_are_kept() {
  local digest
  ready not-yet-moved
  skopeo copy -q --src-tls-verify=false --dest-tls-verify=false "docker://$nginx" "docker://$registry/moved:1"
  manifest if-not-present <<EOF
containers: [{name: main, image: $registry/moved:1, imagePullPolicy: IfNotPresent, command: [sleep, inf]}]
EOF
  ready if-not-present
  refused . in_pod if-not-present main test -e /usr/sbin/nginx
  manifest never-but-there <<EOF
containers: [{name: main, image: $registry/moved:1, imagePullPolicy: Never, command: [sleep, inf]}]
EOF
  ready never-but-there
  refused . in_pod never-but-there main test -e /usr/sbin/nginx
  manifest always <<EOF
containers: [{name: main, image: $registry/moved:1, imagePullPolicy: Always, command: [sleep, inf]}]
EOF
  ready always
  in_pod always main test -e /usr/sbin/nginx
  digest=$(skopeo inspect --tls-verify=false "docker://$registry/moved:1" | jq -r .Digest)
  manifest by-digest <<EOF
containers: [{name: main, image: '$registry/moved@$digest', command: [sleep, inf]}]
EOF
  ready by-digest
  contains "$(of by-digest "$(container main) | .imageID")" 'sha256:[0-9a-f]{64}$'
  equals "$(of always "$(container main) | .imageID")" "$(of by-digest "$(container main) | .imageID")" 'the image'
}
