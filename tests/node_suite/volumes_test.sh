# Image volumes.
# shellcheck shell=bash disable=SC2016,SC2154  # containers' shells expand; $scratch is the runner's

inside() { crictl exec -s "$@"; }

test_an_image_is_a_volume() {
  local pod_id id mounts
  crictl pull "$web"
  pod_id=$(pod images)
  mounts=$(findmnt -rno TARGET | wc -l)
  id=$(started images "$pod_id" main '.mounts = [
      {container_path: "/web", image: {image: $ARGS.positional[0]}, readonly: true},
      {container_path: "/www", image: {image: $ARGS.positional[0]}, image_sub_path: "srv/www"},
      {container_path: "/etc/nginx.conf", image: {image: $ARGS.positional[0]}, image_sub_path: "etc/nginx/nginx.conf"}]' \
    "$web")
  inside "$id" test -x /web/usr/sbin/nginx
  # Deleted by the image's last layer.
  refused . inside "$id" test -e /web/etc/nginx/snippets
  equals "$(inside "$id" cat /web/srv/www/index.html)" "$(inside "$id" cat /www/index.html)"
  contains "$(inside "$id" cat /etc/nginx.conf)" http
  refused 'Read-only' inside "$id" touch /web/file
  refused 'Read-only' inside "$id" sh -c 'echo x >/etc/nginx.conf'
  equals "$web" "$(crictl inspect "$id" | jq -r '.status.mounts[0].image.image')"
  equals "$mounts" "$(findmnt -rno TARGET | wc -l)" 'the number of mounts on the node'
}

test_the_image_of_a_volume_stays_while_it_is_used() {
  local pod_id id
  crictl pull "$web"
  pod_id=$(pod images)
  id=$(started images "$pod_id" main \
    '.mounts = [{container_path: "/web", image: {image: $ARGS.positional[0]}}]' "$web")
  crictl rmi "$web"
  inside "$id" test -x /web/usr/sbin/nginx
  kill_daemon
  inside "$id" sh -c 'cat /web/usr/sbin/nginx >/dev/null'
  crictl rmp -f "$pod_id"
  crictl pull "$web"
}

test_image_volumes_that_cannot_be_are_refused() {
  local pod_id id
  pod_id=$(pod images)
  refused 'NotFound.*image volume at .*not found; pull it first' created images "$pod_id" missing \
    '.mounts = [{container_path: "/web", image: {image: "127.0.0.1:5000/missing:1"}}]'
  refused 'leads out of the image' created images "$pod_id" out \
    '.mounts = [{container_path: "/web", image: {image: $ARGS.positional[0]}, image_sub_path: "../.."}]' "$base"
  id=$(created images "$pod_id" none \
    '.mounts = [{container_path: "/web", image: {image: $ARGS.positional[0]}, image_sub_path: "no/such"}]' "$base")
  refused 'sub path .*no/such.* of the image does not exist' crictl start "$id"
}

test_links_of_an_image_do_not_lead_mounts_out_of_it() {
  local pod_id id mount
  mkdir -p "$scratch/image/dir" "$scratch/volume" "$scratch/outside"
  echo content >"$scratch/volume/file"
  ln -s /dir "$scratch/image/absolute"
  ln -s ../../../../../../../../dir "$scratch/image/up"
  ln -s "$scratch/outside" "$scratch/image/out"
  ln -s "../../../../../../../..$scratch/outside/new" "$scratch/image/out-up"
  ln -s loop "$scratch/image/loop"
  ln -s /proc "$scratch/image/process"
  image_with links:1 "$scratch/image"
  pod_id=$(pod links)
  id=$(started links "$pod_id" main '.image.image = $ARGS.positional[1] |
    .mounts = [["/absolute/a", "/up/b", "/out/c", "/out-up"][] | {container_path: ., host_path: $ARGS.positional[0]}]' \
    "$scratch/volume" "$registry/links:1")
  equals content "$(inside "$id" cat /dir/a/file)"
  equals content "$(inside "$id" cat /dir/b/file)"
  equals content "$(inside "$id" cat "$scratch/outside/c/file")"
  equals content "$(inside "$id" cat "$scratch/outside/new/file")"
  equals '' "$(ls "$scratch/outside")" 'what is outside'
  for mount in /loop/x /process/self/x; do
    id=$(created links "$pod_id" "bad${mount//\//-}" '.image.image = $ARGS.positional[1] |
      .mounts = [{container_path: $ARGS.positional[2], host_path: $ARGS.positional[0]}]' \
      "$scratch/volume" "$registry/links:1" "$mount")
    refused "mount .* at $mount" crictl start "$id"
  done
}

test_volumes_of_an_image_are_filled_from_it_and_writable() {
  local pod_id id
  mkdir -p "$scratch/image/data" "$scratch/image/over" "$scratch/volume"
  echo of-the-image | tee "$scratch/image/data/file" >"$scratch/image/over/file"
  echo of-the-node >"$scratch/volume/file"
  image_with volumes:1 "$scratch/image" '.config.Volumes = {"/data": {}, "/made/here": {}, "/over": {}, "/proc/x": {}}'
  pod_id=$(pod volumes)
  id=$(started volumes "$pod_id" main '.image.image = $ARGS.positional[1] |
    .linux.security_context.readonly_rootfs = true | .mounts = [{container_path: "/over", host_path: $ARGS.positional[0]}]' \
    "$scratch/volume" "$registry/volumes:1")
  equals of-the-image "$(inside "$id" cat /data/file)"
  equals of-the-node "$(inside "$id" cat /over/file)"
  inside "$id" sh -c 'echo changed >/data/file; touch /made/here/file'
  equals changed "$(inside "$id" cat /data/file)"
  refused 'Read-only' inside "$id" touch /file
  id=$(started volumes "$pod_id" other '.image.image = $ARGS.positional[0]' "$registry/volumes:1")
  equals of-the-image "$(inside "$id" cat /data/file)"
}

test_a_recursive_read_only_mount_has_nothing_writable_below() {
  local pod_id id status=0
  mkdir -p "$scratch/volume/below"
  mount -t tmpfs below "$scratch/volume/below"
  pod_id=$(pod fixed)
  id=$(started fixed "$pod_id" main '.mounts = [
      {container_path: "/flat", host_path: $ARGS.positional[0], readonly: true},
      {container_path: "/deep", host_path: $ARGS.positional[0], readonly: true, recursive_read_only: true}]' "$scratch/volume")
  inside "$id" touch /flat/below/file || status=1
  refused 'Read-only' inside "$id" touch /flat/file || status=1
  refused 'Read-only' inside "$id" touch /deep/below/other || status=1
  crictl rmp -f "$pod_id"
  umount "$scratch/volume/below"
  return "$status"
}

test_a_private_mount_takes_no_later_mounts_in() {
  local pod_id id status=0
  mkdir -p "$scratch/volume/later"
  pod_id=$(pod private)
  id=$(started private "$pod_id" main '.mounts = [{container_path: "/volume", host_path: $ARGS.positional[0]}]' "$scratch/volume")
  mount -t tmpfs later "$scratch/volume/later"
  touch "$scratch/volume/later/file"
  refused . inside "$id" test -e /volume/later/file || status=1
  umount "$scratch/volume/later"
  return "$status"
}

test_a_mount_that_is_not_shared_on_the_node_cannot_propagate() {
  local pod_id id
  mkdir -p "$scratch/own"
  mount -t tmpfs own "$scratch/own"
  mount --make-private "$scratch/own"
  pod_id=$(pod unshared)
  id=$(created unshared "$pod_id" main \
    '.mounts = [{container_path: "/own", host_path: $ARGS.positional[0], propagation: 2}]' "$scratch/own")
  local status=0
  refused 'not a shared' crictl start "$id" || status=1
  umount "$scratch/own"
  return "$status"
}
