#!/usr/bin/env bash
# build-kubernetes.sh OUT_DIR [PROGRAM ...]
#
# Fills OUT_DIR with kube-apiserver, kube-controller-manager, kube-scheduler, kubectl (v1.20.2) and etcd (3.4), made only
# of Debian's packages: for machines where neither Docker nor a download site can be reached. About 7 minutes on 2 cores,
# once for a machine; what is half done when it is interrupted is taken up again by the next run. Further programs of
# Kubernetes can be named, such as those that a whole node needs: kubelet kube-proxy kubeadm.
#
# Nothing is installed on the machine except, as root, Debian's dpkg-dev where it is missing. The package lists, the
# compiler and the sources live in a work folder beside OUT_DIR that is safe to delete.
set -euo pipefail

version=v1.20.2
out=${1:?usage: build-kubernetes.sh OUT_DIR [PROGRAM ...]}
shift
mkdir -p "$out"; out=$(realpath "$out")
work=$(dirname "$out")/build
mkdir -p "$work"

say() { printf '[%4d s] %s\n' "$SECONDS" "$*" >&2; }
die() { printf 'build-kubernetes: %s\n' "$*" >&2; exit 1; }

# Two test runs that start on a fresh machine at once must not build into each other.
exec 9>"$work/.lock"
if ! flock -n 9; then say "another build is running in $work; waiting for it"; flock 9; fi

programs=(kube-apiserver kube-controller-manager kube-scheduler kubectl "$@")
complete() { for p in "${programs[@]}" etcd; do [ -x "$out/$p" ] || return 1; done; }
if complete; then say "already built: $out"; exit 0; fi

command -v apt-get >/dev/null || die "this is not a Debian machine; set KUBEBUILDER_ASSETS to a folder with kube-apiserver, etcd and kubectl (the envtest convention)"
if ! command -v dpkg-source >/dev/null; then
  [ "$(id -u)" = 0 ] || die "dpkg-source is missing; as root: apt-get install dpkg-dev"
  say "installing Debian's dpkg-dev"
  apt-get update -qq; apt-get install -y -qq --no-install-recommends dpkg-dev xz-utils >&2
fi

# Our own apt state, so that a deb-src line can be added without touching the machine's. The archive's address is the
# one that the machine already uses.
mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Component: main' 'Origin: Debian' | head -n 1)
[ -n "$mirror" ] || mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Component: main' | head -n 1)
[ -n "$mirror" ] || die "apt names no Debian archive; add one to /etc/apt/sources.list.d and run again"
mkdir -p "$work/apt/lists/partial" "$work/apt/cache/archives/partial" "$work/deb"
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
option=; [ -e "$keyring" ] && option="[signed-by=$keyring]"
printf 'deb %s %s bookworm main\ndeb-src %s %s bookworm main\n' "$option" "$mirror" "$option" "$mirror" > "$work/apt/sources.list"
apt() {
  apt-get -qq -o Dir::Etc::SourceList="$work/apt/sources.list" -o Dir::Etc::SourceParts=/dev/null \
    -o Dir::State::Lists="$work/apt/lists" -o Dir::Cache="$work/apt/cache" -o APT::Sandbox::User="$(id -un)" \
    -o Acquire::Retries=3 "$@" >&2
}
# unpack PACKAGE...: downloads Debian packages and unpacks them into $work/root
unpack() {
  (cd "$work/deb" && apt download "$@")
  for p in "$@"; do dpkg-deb -x "$work/deb/$p"_*.deb "$work/root"; done
}

if [ ! -e "$work/.fetched" ]; then
  say "fetching package lists"
  apt update
  say "fetching etcd, the Go 1.19 compiler and the Kubernetes source (about 120 MB)"
  rm -rf "$work/root" "$work/deb" "$work"/src; mkdir -p "$work/root" "$work/deb" "$work/src"
  unpack etcd-server golang-1.19-go golang-1.19-src golang-github-modern-go-reflect2-dev
  (cd "$work/src" && apt source kubernetes)
  touch "$work/.fetched"
fi
install -m755 "$work/root/usr/bin/etcd" "$out/.etcd.part" && mv "$out/.etcd.part" "$out/etcd"

tree=$(echo "$work"/src/kubernetes-1*/)
if [ ! -e "$work/.patched" ]; then
  # The vendored reflect2 1.0.1 predates Go 1.18: it calls reflect.mapiterinit with the old signature, and Go then writes
  # through a stray pointer. Debian's 1.0.2 is right.
  reflect2=$tree/vendor/github.com/modern-go/reflect2
  rm -rf "$reflect2"; cp -r "$work/root/usr/share/gocode/src/github.com/modern-go/reflect2" "$reflect2"
  touch "$work/.patched"
fi

export GOROOT="$work/root/usr/lib/go-1.19" GOPATH="$work/go" GO111MODULE=off CGO_ENABLED=0 GOCACHE="$work/go-cache" GOFLAGS=
export PATH="$GOROOT/bin:$PATH"
mkdir -p "$GOPATH/src/k8s.io"; ln -sfn "${tree%/}" "$GOPATH/src/k8s.io/kubernetes"
cd "$GOPATH/src/k8s.io/kubernetes"

openapi=pkg/generated/openapi/zz_generated.openapi.go
if [ ! -e "$openapi" ]; then
  say "generating the OpenAPI code that the source package leaves out"
  packages=$(grep -rlE '^// \+k8s:openapi-gen=true' --include='*.go' pkg cmd staging/src/k8s.io | xargs -n1 dirname | LC_ALL=C sort -u |
    grep -vE '_examples|code-generator|sample-apiserver' | sed 's#^staging/src/#vendor/#; s#^#k8s.io/kubernetes/#' | paste -sd,)
  go run k8s.io/kubernetes/vendor/k8s.io/kube-openapi/cmd/openapi-gen -i "$packages" -O zz_generated.openapi \
    -p k8s.io/kubernetes/pkg/generated/openapi -h /dev/null -r "$work/openapi-violations" --output-base "$GOPATH/src"
fi

stamp=
for package in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
  for prefix in '' k8s.io/kubernetes/vendor/; do
    p=$prefix$package
    stamp="$stamp -X $p.gitVersion=$version -X $p.gitMajor=1 -X $p.gitMinor=20 -X $p.gitTreeState=clean -X $p.buildDate=2021-01-13T00:00:00Z"
  done
done
for program in "${programs[@]}"; do
  [ -x "$out/$program" ] && continue
  say "compiling $program (kube-apiserver takes about 5 minutes, the others 1 or less)"
  go build -ldflags "-s -w $stamp" -o "$out/.$program.part" "./cmd/$program" &
  build=$!
  while kill -0 "$build" 2>/dev/null; do sleep 20; kill -0 "$build" 2>/dev/null && say "  … still compiling $program"; done &
  ticker=$!
  wait "$build" || { kill "$ticker" 2>/dev/null; die "compiling $program failed; the messages above say why. Run again to go on from here"; }
  kill "$ticker" 2>/dev/null || true
  mv "$out/.$program.part" "$out/$program"
done
say "done: $out"
