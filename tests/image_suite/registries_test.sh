# Ways to a registry: proxies, HTTP/2, client certificates, files of credentials.
# shellcheck shell=bash disable=SC2016,SC2154,SC2317  # expanded elsewhere; $scratch is the runner's; called by name

# shellcheck source=tests/image_suite/image_lib.sh
source ./image_lib.sh

readonly proxy_log=/run/suite-proxy.log nginx_log=/run/suite-nginx.log

# asked PATTERN: how many lines of the proxy's log match.
asked() { grep -Ec -- "$1" "$proxy_log" || true; }

# pulled_directly REFERENCE [VARIABLE=VALUE…]: by cri-nspawn-image, with these in its environment, into a store of its own.
pulled_directly() { env "${@:2}" cri-nspawn-image --store "$scratch/store" pull -q "$1"; }

test_the_daemon_pulls_through_the_proxies_of_its_environment() {
  local drop_in=/run/systemd/system/cri-nspawn.service.d/proxy.conf
  reset_registry
  : >"$proxy_log"
  # Nobody but the proxy knows these names.
  refused '[Rr]esolv' crictl pull plain.behind.test:5001/good
  mkdir -p "${drop_in%/*}"
  printf '[Service]\nEnvironment=%s\n' HTTP_PROXY=http://127.0.0.1:3128 HTTPS_PROXY=http://127.0.0.1:3128 >"$drop_in"
  systemctl daemon-reload
  systemctl restart cri-nspawn.service
  crictl pull plain.behind.test:5001/good
  crictl rmi plain.behind.test:5001/good
  ((3 == $(asked '^GET http://plain.behind.test:5001/v2/good/(manifests|blobs)/'))) || fail "the proxy was asked for: $(<"$proxy_log")"
  crictl pull secure.behind.test:5003/good
  crictl rmi secure.behind.test:5003/good
  ((1 <= $(asked '^CONNECT secure.behind.test:5003$'))) || fail "the proxy was asked for: $(<"$proxy_log")"
  # The proxy sees no URL of it, and this machine's own registry is asked without it.
  equals 0 "$(asked 'secure.behind.test.*/v2/')"
  pulled good
  equals 0 "$(asked '127.0.0.1')"
  rm "$drop_in"
  systemctl daemon-reload
  systemctl restart cri-nspawn.service
}

test_a_proxy_is_not_used_for_what_no_proxy_names() {
  local proxy=http://127.0.0.1:3128
  reset_registry
  : >"$proxy_log"
  pulled_directly other.behind.test:5001/good http_proxy=$proxy
  equals 3 "$(asked '^GET http://other.behind.test:5001/')"
  # Without the proxy the name leads nowhere.
  refused '[Rr]esolv' pulled_directly plain.behind.test:5001/zeros http_proxy=$proxy NO_PROXY=127.0.0.1,plain.behind.test
  refused '[Rr]esolv' pulled_directly plain.behind.test:5001/zeros HTTP_PROXY=$proxy no_proxy=.behind.test
  refused '[Rr]esolv' pulled_directly secure.behind.test:5003/zeros HTTPS_PROXY=$proxy NO_PROXY='*'
  equals 3 "$(asked .)"
}

test_a_proxy_that_refuses_or_is_not_there_is_an_error() {
  reset_registry
  refused 'registry https://elsewhere.test: .*502' pulled_directly elsewhere.test/good https_proxy=http://127.0.0.1:3128
  refused 'registry http://plain.behind.test:5001: .*(connect|refused)' \
    pulled_directly plain.behind.test:5001/good http_proxy=http://127.0.0.1:3129
}

test_a_redirect_to_a_link_local_address_is_refused_before_a_proxy_is_asked() {
  reset_registry
  : >"$proxy_log"
  refused 'link-local' pulled_directly plain.behind.test:5001/layer-redirect-to-link-local HTTP_PROXY=http://127.0.0.1:3128
  equals 0 "$(asked 169.254)"
}

test_http_2_is_used_where_a_registry_has_it() {
  reset_registry
  : >"$nginx_log"
  crictl pull 127.0.0.1:5004/good
  crictl rmi 127.0.0.1:5004/good
  contains "$(<"$nginx_log")" '^5004 HTTP/2.0 - /v2/good/manifests/latest 200'
  contains "$(<"$nginx_log")" '^5004 HTTP/2.0 - /v2/good/blobs/sha256:[0-9a-f]* 200'
  lacks "$(<"$nginx_log")" 'HTTP/1'
}

test_a_layer_that_breaks_off_over_http_2_is_continued() {
  reset_registry
  crictl pull 127.0.0.1:5004/layer-broken-off-once
  crictl rmi 127.0.0.1:5004/layer-broken-off-once
  contains "$(requests '[.[] | .range | values]')" '^\["bytes=[0-9]*-"\]$'
}

test_a_client_certificate_is_shown_to_the_registry_that_wants_it() {
  reset_registry
  : >"$nginx_log"
  crictl pull 127.0.0.1:5005/good
  crictl rmi 127.0.0.1:5005/good
  contains "$(<"$nginx_log")" '^5005 HTTP/2.0 CN=client /v2/good/manifests/latest 200'
  # The same server under a name whose configuration has none, and one of another authority.
  refused_image 'status 400' 127.0.0.5:5005/good
  refused_image 'status 400|certificate' 127.0.0.6:5005/good
  # And one that is not there.
  refused_image 'cannot|could not|No such file|certificate' 127.0.0.7:5005/good
}

test_credentials_come_from_the_file_of_docker_login() {
  local name=127.0.0.1:5001/private
  reset_registry
  docker_file() { jq -n --arg key "$1" --arg auth "$(printf 'visitor:open-sesame' | base64)" "$2" >"$scratch/config.json"; }
  docker_file 127.0.0.1:5001 '{auths: {($key): {auth: $auth}}}'
  refused 'authentication required' pulled_directly "$name" HOME=/nonexistent
  pulled_directly "$name" DOCKER_CONFIG="$scratch"
  contains "$(requests '.[]')" '"authorization":"Basic dmlzaXRvcjpvcGVuLXNlc2FtZQ=="'
  # The narrowest entry wins; one for another registry is not sent.
  docker_file 127.0.0.1:5001 '{auths: {($key): {auth: "d3Jvbmc6d3Jvbmc="}, "127.0.0.1:5001/private": {auth: $auth}}}'
  pulled_directly "$name" DOCKER_CONFIG="$scratch"
  docker_file 127.0.0.1:5002 '{auths: {($key): {auth: $auth}}}'
  reset_registry
  refused 'authentication required' pulled_directly "$name" DOCKER_CONFIG="$scratch"
  lacks "$(requests '.[]')" authorization
  # Programs that keep credentials are not run.
  docker_file 127.0.0.1:5001 '{credHelpers: {($key): "secretservice"}}'
  refused 'helper program, which is not supported' pulled_directly "$name" DOCKER_CONFIG="$scratch"
}
