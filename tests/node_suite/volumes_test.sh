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
