# serve NAME ARGUMENTS…: starts `quatrain serve` on a free port, waits until it serves, and sets $NAME to its address and
# $NAME_PID to its process.
serve() {
    name=$1
    shift
    mkfifo "$name.serving"
    quatrain serve "$@" --port 0 >"$name.serving" &
    eval "${name}_PID=$!"
    read -r line <"$name.serving" || line="$name does not serve"
    rm "$name.serving"
    echo "$line"
    line=${line% with *}
    eval "$name=${line##* }"
}
