# What controllers make of Deployments, Jobs and the like, and what reaches their pods.
# shellcheck shell=bash disable=SC2016,SC2034,SC2154,SC2317

# shellcheck source=tests/cluster/cluster_lib.sh
source ./cluster_lib.sh
namespace=workloads

objects_a_deployment_is_rolled_out_to_a_new_image_and_back_and_scaled() {
  workload Deployment web 'replicas: 2' 'strategy: {rollingUpdate: {maxUnavailable: 0, maxSurge: 1}}' <<END
terminationGracePeriodSeconds: 5
containers: [{name: web, image: $nginx, readinessProbe: {httpGet: {port: 80}, timeoutSeconds: 20, periodSeconds: 3}}]
END
}
test_a_deployment_is_rolled_out_to_a_new_image_and_back_and_scaled() {
  rolled_out deployment/web
  equals "$nginx" "$(images_of web)" 'the first image'
  local first
  first=$(pages_of web)
  k set image deployment/web "web=$newer_nginx"
  rolled_out deployment/web
  eventually 120 eval '[[ $(images_of web) == "$newer_nginx" ]]'
  contains "$(pages_of web)" 'the second version'
  k rollout undo deployment/web
  rolled_out deployment/web
  eventually 120 eval '[[ $(images_of web) == "$nginx" ]]'
  equals "$first" "$(pages_of web)" 'the page'
  k scale deployment/web --replicas=3
  rolled_out deployment/web
  equals 3 "$(of deployment/web .status.readyReplicas)"
  k scale deployment/web --replicas=1
  eventually 300 eval '[[ $(k get pods -l app=web -o name | wc -l) == 1 ]]'
}
# The images of the pods of an app, each once, and what they serve.
images_of() { k get pods -l "app=$1" -o json | jq -r '[.items[].spec.containers[].image] | unique | join(" ")'; }
pages_of() {
  local address
  for address in $(k get pods -l "app=$1" -o json | jq -r '.items[] | select(.metadata.deletionTimestamp | not) | .status.podIP'); do
    fetch "http://$address/"
  done | sort -u
}

objects_a_job_runs_to_its_end_and_is_tried_again() {
  apply <<END
apiVersion: batch/v1
kind: Job
metadata: {name: sums}
spec:
  completions: 3
  parallelism: 2
  completionMode: Indexed
  template:
    spec:
      restartPolicy: Never
      containers: [{name: main, image: $busybox, command: [sh, -c, 'echo "square \$((JOB_COMPLETION_INDEX * JOB_COMPLETION_INDEX))"']}]
---
apiVersion: batch/v1
kind: Job
metadata: {name: fails}
spec:
  backoffLimit: 1
  template:
    spec:
      restartPolicy: Never
      containers: [{name: main, image: $busybox, command: [sh, -c, 'exit 3']}]
END
}
test_a_job_runs_to_its_end_and_is_tried_again() {
  becomes job/sums '.status.succeeded == 3 and (.status.conditions | any(.type == "Complete" and .status == "True"))'
  equals 'square 0 square 1 square 4' "$(k logs -l job-name=sums | sort | paste -sd ' ')" 'what it wrote'
  becomes job/fails '.status.failed == 2 and (.status.conditions | any(.type == "Failed" and .reason == "BackoffLimitExceeded"))'
  equals '3 3' "$(k get pods -l job-name=fails -o json | jq -r '[.items[].status.containerStatuses[].state.terminated.exitCode] | join(" ")')"
}

objects_a_cron_job_runs_each_minute() {
  apply <<END
apiVersion: batch/v1
kind: CronJob
metadata: {name: tick}
spec:
  schedule: '* * * * *'
  jobTemplate:
    spec:
      template:
        spec: {restartPolicy: Never, containers: [{name: main, image: $busybox, command: ['true']}]}
END
}
test_a_cron_job_runs_each_minute() {
  becomes cronjob/tick '.status.lastSuccessfulTime != null'
  k delete cronjob tick
}

objects_a_daemon_set_is_on_the_node() {
  workload DaemonSet agent <<END
hostNetwork: true
containers: [{name: main, image: $busybox, command: [sleep, inf]}]
END
}
test_a_daemon_set_is_on_the_node() {
  rolled_out daemonset/agent
  equals "$NODE 10.0.2.15" "$(k get pods -l app=agent -o json | jq -r '.items[] | "\(.spec.nodeName) \(.status.podIP)"')"
}

objects_a_stateful_set_keeps_names_and_order() {
  apply <<END
apiVersion: v1
kind: Service
metadata: {name: db}
spec: {clusterIP: None, selector: {app: db}, ports: [{port: 80}]}
END
  workload StatefulSet db 'serviceName: db' 'replicas: 2' <<END
containers: [{name: main, image: $busybox, command: [sh, -c, 'hostname -f >/name; exec sleep inf']}]
END
}
test_a_stateful_set_keeps_names_and_order() {
  rolled_out statefulset/db
  equals 'db-0 db-1' "$(k get pods -l app=db -o json | jq -r '[.items | sort_by(.status.startTime, .metadata.name)[].metadata.name] | join(" ")')" 'the pods'
  equals "db-1.db.$namespace.svc.cluster.local" "$(k exec db-1 -- cat /name)" 'the name inside'
  local first
  first=$(of pod/db-0 .metadata.uid)
  k delete pod db-0
  becomes pod/db-0 ".metadata.uid != \"$first\" and ($is_ready)"
  equals "db-0.db.$namespace.svc.cluster.local" "$(k exec db-0 -- cat /name)" 'the name inside'
}

objects_changes_of_config_maps_and_secrets_appear_in_running_containers() {
  apply <<END
apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data: {colour: red}
---
apiVersion: v1
kind: Secret
metadata: {name: words}
stringData: {word: mellon}
END
  pod configured <<END
containers:
  - name: main
    image: $busybox
    command: [sleep, inf]
    env: [{name: COLOUR, valueFrom: {configMapKeyRef: {name: settings, key: colour}}}]
    volumeMounts: [{name: settings, mountPath: /settings}, {name: words, mountPath: /words}, {name: all, mountPath: /all}]
volumes:
  - {name: settings, configMap: {name: settings}}
  - {name: words, secret: {secretName: words, defaultMode: 0400}}
  - name: all
    projected: {sources: [{configMap: {name: settings}}, {secret: {name: words}}, {downwardAPI: {items: [{path: labels, fieldRef: {fieldPath: metadata.labels}}]}}]}
END
}
test_changes_of_config_maps_and_secrets_appear_in_running_containers() {
  ready configured
  equals 'red red red mellon' "$(k exec configured -- sh -c 'echo "$COLOUR" $(cat /settings/colour) $(cat /all/colour) $(cat /words/word)')"
  equals 400 "$(k exec configured -- stat -L -c %a /words/word)" 'the mode of a secret'
  contains "$(k exec configured -- mount)" '^tmpfs on /words type tmpfs \(ro'
  k patch configmap settings --patch '{"data": {"colour": "blue"}}'
  k patch secret words --patch '{"stringData": {"word": "friend"}}'
  k label pod configured stage=late
  eventually 300 eval '[[ $(k exec configured -- sh -c "echo \$(cat /settings/colour) \$(cat /words/word) \$(cat /all/labels)") == "blue friend stage=\"late\"" ]]'
  equals 0 "$(of pod/configured '.status.containerStatuses[0].restartCount')" 'the count of restarts'
}

objects_tokens_of_service_accounts_are_projected_and_good() {
  pod accounted <<END
containers:
  - {name: main, image: $busybox, command: [sleep, inf], volumeMounts: [{name: token, mountPath: /token}]}
  - {name: client, image: $agnhost, args: [inclusterclient, --poll-interval=5]}
volumes:
  - name: token
    projected: {sources: [{serviceAccountToken: {path: vault, audience: vault, expirationSeconds: 3600}}]}
END
}
test_tokens_of_service_accounts_are_projected_and_good() {
  ready accounted
  local account=system:serviceaccount:$namespace:default
  equals "$account true" "$(review '' "$(k exec accounted -c main -- cat /var/run/secrets/kubernetes.io/serviceaccount/token)")"
  equals "$account true" "$(review vault "$(k exec accounted -c main -- cat /token/vault)")"
  # For others it is none.
  equals 'null null' "$(review other "$(k exec accounted -c main -- cat /token/vault)")"
  # A client inside reaches the API server by its service.
  eventually 300 eval 'k logs accounted -c client | grep -q "calling /healthz"'
  contains "$(k logs accounted -c client)" 'authz_header=[A-Za-z0-9_-]+'
  lacks "$(k logs accounted -c client)" 'error checking'
}
# review AUDIENCE TOKEN: whose it is, and whether it is good.
review() {
  jq -n --arg audience "$1" --arg token "$2" '{apiVersion: "authentication.k8s.io/v1", kind: "TokenReview",
    spec: ({token: $token} + (if $audience == "" then {} else {audiences: [$audience]} end))}' |
    k create -o json -f - | jq -r '"\(.status.user.username) \(.status.authenticated)"'
}

objects_a_running_container_is_resized_in_place() {
  pod resized <<END
containers:
  - name: main
    image: $busybox
    command: [sleep, inf]
    resources: {requests: {cpu: 50m, memory: 32Mi}, limits: {cpu: 200m, memory: 64Mi}}
END
}
test_a_running_container_is_resized_in_place() {
  has_controllers || skip 'there are no controllers'
  ready resized
  local id cgroup
  id=$(container_id resized main)
  cgroup=/sys/fs/cgroup$(systemctl show -P ControlGroup "$(unit_of resized main).service")
  equals '20000 100000' "$(on_node cat "$cgroup/cpu.max")" cpu.max
  k patch pod resized --subresource resize --patch \
    '{"spec": {"containers": [{"name": "main", "resources": {"requests": {"cpu": "100m"}, "limits": {"cpu": "300m", "memory": "96Mi"}}}]}}'
  becomes pod/resized '.status.containerStatuses[0].resources.limits == {"cpu": "300m", "memory": "96Mi"}'
  equals '30000 100000' "$(on_node cat "$cgroup/cpu.max")" cpu.max
  equals $((96 << 20)) "$(on_node cat "$cgroup/memory.max")" memory.max
  equals "$id 0" "$(container_id resized main) $(of pod/resized '.status.containerStatuses[0].restartCount')" 'the container'
}
