# Volumes that a node provides by itself.
# shellcheck shell=bash disable=SC2016,SC2154,SC2317

# shellcheck source=tests/kubelet/kubelet_lib.sh
source ./kubelet_lib.sh

pods_empty_directories_are_shared_and_bounded() {
  manifest empty <<EOF
securityContext: {fsGroup: 4321}
containers:
  - name: writer
    image: $busybox
    command: [sh, -c, 'echo from writer >/disk/file; echo from writer >/memory/file; exec sleep inf']
    securityContext: {runAsUser: 1000}
    volumeMounts: &mounts [{name: disk, mountPath: /disk}, {name: memory, mountPath: /memory}]
  - {name: reader, image: $busybox, command: [sleep, inf], volumeMounts: *mounts}
volumes:
  - {name: disk, emptyDir: {}}
  - {name: memory, emptyDir: {medium: Memory, sizeLimit: 8Mi}}
EOF
}
test_empty_directories_are_shared_and_bounded() {
  ready empty
  equals 'from writer from writer' "$(in_pod empty reader cat /disk/file /memory/file | xargs)"
  contains "$(in_pod empty reader grep ' /memory ' /proc/mounts)" ' tmpfs .*size=8192k'
  contains "$(in_pod empty reader grep ' /disk ' /proc/mounts)" ' ext4 '
  refused 'No space left' in_pod empty reader dd if=/dev/zero of=/memory/large bs=1M count=9
  equals '1000 4321' "$(in_pod empty reader stat -c '%u %g' /disk/file)" 'the owner'
  local uid
  uid=$(of empty .metadata.uid)
  test -e "/var/lib/kubelet/pods/$uid/volumes/kubernetes.io~empty-dir/disk/file"
}

pods_host_paths_of_every_type_are_mounted() {
  local host=$shared/host
  fresh host
  mkdir "$host/directory"
  echo content >"$host/file"
  python3 -c "import socket; socket.socket(socket.AF_UNIX).bind('$host/socket')"
  mknod "$host/char" c 1 3
  mknod "$host/block" b 7 250
  manifest host-paths <<EOF
containers:
  - name: main
    image: $busybox
    command: [sleep, inf]
    securityContext: {privileged: true}
    volumeMounts:
      - {name: any, mountPath: /any}
      - {name: directory, mountPath: /directory}
      - {name: directory-or-create, mountPath: /directory-or-create}
      - {name: file, mountPath: /file, readOnly: true}
      - {name: file-or-create, mountPath: /file-or-create}
      - {name: socket, mountPath: /socket}
      - {name: char, mountPath: /char}
      - {name: block, mountPath: /block}
volumes:
  - {name: any, hostPath: {path: $host/any}}
  - {name: directory, hostPath: {path: $host/directory, type: Directory}}
  - {name: directory-or-create, hostPath: {path: $host/new/directory, type: DirectoryOrCreate}}
  - {name: file, hostPath: {path: $host/file, type: File}}
  - {name: file-or-create, hostPath: {path: $host/new-file, type: FileOrCreate}}
  - {name: socket, hostPath: {path: $host/socket, type: Socket}}
  - {name: char, hostPath: {path: $host/char, type: CharDevice}}
  - {name: block, hostPath: {path: $host/block, type: BlockDevice}}
EOF
  manifest wrong-type <<EOF
containers: [{name: main, image: $busybox, command: [sleep, inf], volumeMounts: [{name: it, mountPath: /it}]}]
volumes: [{name: it, hostPath: {path: $host/directory, type: File}}]
EOF
}
test_host_paths_of_every_type_are_mounted() {
  local host=$shared/host
  ready host-paths
  # shellcheck disable=SC2016
  equals 'directory directory directory regular file regular empty file socket character special file block special file' \
    "$(in_pod host-paths main stat -c %F /any /directory /directory-or-create /file /file-or-create /socket /char /block | xargs)"
  in_pod host-paths main sh -c 'echo one >/any/file; echo two >/directory-or-create/file; echo three >/file-or-create; echo x >/char'
  equals 'one two three' "$(cat "$host/any/file" "$host/new/directory/file" "$host/new-file" | paste -sd ' ')"
  refused 'Read-only file system' in_pod host-paths main sh -c 'echo no >/file'
  equals 'Pending ContainerCreating' "$(of wrong-type "\"\(.status.phase) \($(container main).state.waiting.reason)\"")"
  contains "$(journalctl -q --no-pager -u kubelet.service --since -600s -g 'hostPath type check failed')" 'is not a file'
}

pods_parts_of_volumes_are_mounted() {
  fresh parts
  mkdir "$shared/parts/below"
  echo below >"$shared/parts/below/file"
  manifest parts <<EOF
containers:
  - name: main
    image: $busybox
    command: [sleep, inf]
    env: [{name: POD_NAME, valueFrom: {fieldRef: {fieldPath: metadata.name}}}]
    volumeMounts:
      - {name: host, mountPath: /directory, subPath: below, readOnly: true}
      - {name: host, mountPath: /etc/file, subPath: below/file}
      - {name: empty, mountPath: /named, subPathExpr: 'of-\$(POD_NAME)'}
volumes:
  - {name: host, hostPath: {path: $shared/parts}}
  - {name: empty, emptyDir: {}}
EOF
}
test_parts_of_volumes_are_mounted() {
  ready parts
  equals 'below below' "$(in_pod parts main cat /directory/file /etc/file | xargs)"
  refused 'Read-only file system' in_pod parts main touch /directory/new
  in_pod parts main touch /named/here
  test -e "/var/lib/kubelet/pods/$(of parts .metadata.uid)/volumes/kubernetes.io~empty-dir/empty/of-parts-$(hostname)/here"
}

pods_mounts_propagate_as_asked() {
  local host=$shared/propagation
  fresh propagation
  mkdir "$host/inner"
  mount -t tmpfs inner "$host/inner"
  manifest propagation <<EOF
containers:
  - name: main
    image: $busybox
    command: [sleep, inf]
    securityContext: {privileged: true}
    volumeMounts:
      - {name: host, mountPath: /both, mountPropagation: Bidirectional}
      - {name: host, mountPath: /from-host, mountPropagation: HostToContainer}
      - {name: host, mountPath: /none}
      - {name: host, mountPath: /read-only, readOnly: true}
volumes: [{name: host, hostPath: {path: $host}}]
EOF
}
test_mounts_propagate_as_asked() {
  local host=$shared/propagation
  ready propagation
  # Not what is mounted below: a kubelet without an API server looks up no runtime class, and asks for that of none.
  refused 'Read-only file system' in_pod propagation main touch /read-only/file
  in_pod propagation main touch /read-only/inner/file
  mkdir "$host/later" "$host/inside"
  mount -t tmpfs later "$host/later"
  touch "$host/later/file"
  in_pod propagation main test -e /from-host/later/file
  in_pod propagation main test -e /both/later/file
  in_pod propagation main test ! -e /none/later/file
  in_pod propagation main mount -t tmpfs inside /both/inside
  mountpoint -q "$host/inside"
  in_pod propagation main umount /both/inside
  refused 'not a mountpoint' mountpoint "$host/inside"
  umount "$host/later" "$host/inner"
}

pods_a_pod_learns_about_itself() {
  manifest self-aware 'labels: {colour: blue}' 'annotations: {note: two words}' <<EOF
containers:
  - name: main
    image: $busybox
    command: [sleep, inf]
    resources: {requests: {cpu: 30m, memory: 24Mi}, limits: {cpu: 500m, memory: 48Mi}}
    env:
      - {name: NAME, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
      - {name: COLOUR, valueFrom: {fieldRef: {fieldPath: "metadata.labels['colour']"}}}
      - {name: POD_IP, valueFrom: {fieldRef: {fieldPath: status.podIP}}}
      - {name: NODE, valueFrom: {fieldRef: {fieldPath: spec.nodeName}}}
      - {name: LIMIT, valueFrom: {resourceFieldRef: {resource: limits.memory, divisor: 1Mi}}}
      - {name: EXPANDED, value: '\$(NAME) on \$(NODE), \$\$(NAME)'}
    volumeMounts: [{name: about, mountPath: /about}]
volumes:
  # Not projected: a kubelet without an API server refuses those.
  - name: about
    downwardAPI:
      defaultMode: 0440
      items:
        - {path: labels, fieldRef: {fieldPath: metadata.labels}}
        - {path: note, fieldRef: {fieldPath: "metadata.annotations['note']"}}
        - {path: cpu, resourceFieldRef: {containerName: main, resource: requests.cpu, divisor: 1m}}
EOF
}
test_a_pod_learns_about_itself() {
  local node name environment
  node=$(hostname) name=self-aware-$(hostname)
  ready self-aware
  environment=$(in_pod self-aware main env)
  contains "$environment" "^NAME=$name$"
  contains "$environment" '^COLOUR=blue$'
  contains "$environment" "^NODE=$node$"
  contains "$environment" '^LIMIT=48$'
  contains "$environment" "^EXPANDED=$name on $node, "'\$\(NAME\)$'
  contains "$environment" "^POD_IP=$(of self-aware .status.podIP)$"
  equals 'colour="blue"' "$(in_pod self-aware main cat /about/labels)"
  equals 'two words' "$(in_pod self-aware main cat /about/note)"
  equals 30 "$(in_pod self-aware main cat /about/cpu)"
  equals 440 "$(in_pod self-aware main stat -Lc %a /about/cpu)" 'the mode'
}

pods_images_are_volumes() {
  manifest image-volumes <<EOF
containers:
  - name: main
    image: $busybox
    command: [sleep, inf]
    volumeMounts:
      - {name: whole, mountPath: /whole}
      - {name: whole, mountPath: /page, subPath: srv/www}
volumes: [{name: whole, image: {reference: $nginx, pullPolicy: IfNotPresent}}]
EOF
  manifest no-image-volume <<EOF
containers: [{name: main, image: $busybox, command: [sleep, inf], volumeMounts: [{name: it, mountPath: /it}]}]
volumes: [{name: it, image: {reference: '$registry/missing/volume:1'}}]
EOF
}
test_images_are_volumes() {
  ready image-volumes
  contains "$(in_pod image-volumes main cat /page/index.html)" 'portable service'
  in_pod image-volumes main test -x /whole/usr/sbin/nginx
  refused 'Read-only file system' in_pod image-volumes main touch /whole/new
  becomes no-image-volume "$(container main) | .state.waiting.reason | . == \"ErrImagePull\" or . == \"ImagePullBackOff\""
  contains "$(of no-image-volume "$(container main) | .state.waiting.message")" 'missing/volume:1'
}
