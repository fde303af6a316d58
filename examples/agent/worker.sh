#!/bin/sh
# Shell with curl: one step of work after another while this pod is the active one.
base=${SINGLETON_STATE_URL%/state}

# A number out of the state's JSON.
field() { printf '%s' "$state" | sed -n "s/.*\"$1\":\([0-9]*\).*/\1/p"; }

# One step. Give the term to whatever you write to: here it is appended to $WRITE_URL, if there is one.
work='echo "acts under term $1"
[ -z "$WRITE_URL" ] || curl -sf --max-time 1 -o /dev/null -X POST "$WRITE_URL$1"
sleep 0.1'

while :; do
  state=$(curl -sf --max-time 1 "$SINGLETON_STATE_URL") || { sleep 0.2; continue; }
  term=$(field term)
  left=$(field expiresInMs)
  case $state in
    *'"active":true'*)
      # A step that outlives the fence deadline is killed.
      timeout -s KILL "$((left / 1000)).$(printf %03d $((left % 1000)))" sh -c "$work" work "$term"
      ;;
    *)
      # Nothing acts here now: so another pod need not wait for a lease to expire.
      curl -sf --max-time 1 -o /dev/null -X POST "$base/stopped?term=$term&sequence=$(field sequence)"
      sleep 0.2
      ;;
  esac
done
