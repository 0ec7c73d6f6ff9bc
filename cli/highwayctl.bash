# SPDX-License-Identifier: BSD-3-Clause
# Completion of highwayctl(1)'s commands, options and names, for bash.

_highwayctl_names() { # what highwayctl itself lists in the first column after a command
    highwayctl "$@" 2>/dev/null | awk 'NR > 1 { print $1 }'
}

_highwayctl() {
    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} command= i
    local commands='show top set check qemu-args libvirt-xml explain ports links domains bridges machines events watch help'
    COMPREPLY=()
    case $before in
    -d | --dir)
        mapfile -t COMPREPLY < <(compgen -d -- "$word")
        return
        ;;
    -D | --domain | -a | --agent)
        mapfile -t COMPREPLY < <(compgen -f -- "$word")
        return
        ;;
    -i | --interval | -n | --count)
        return
        ;;
    esac
    for ((i = 1; i < COMP_CWORD; i++)); do
        case ${COMP_WORDS[i]} in
        -d | --dir | -D | --domain | -a | --agent | -i | --interval | -n | --count) ((i++)) ;;
        -*) ;;
        *)
            command=${COMP_WORDS[i]}
            break
            ;;
        esac
    done
    if [[ $word == -* ]]; then
        local options='--help --version'
        case $command in
        show) options+=' --dir --domain --rates --interval --json' ;;
        top) options+=' --dir --domain --interval --count' ;;
        set) options+=' --dir --domain --no-wait' ;;
        check | qemu-args | libvirt-xml) options+=' --dir --domain' ;;
        explain | ports | links | domains | bridges | machines | events) options+=' --agent --json' ;;
        watch) options+=' --agent --json --interval --count' ;;
        *) options+=' --dir --domain --agent --interval --count --rates --json --no-wait' ;;
        esac
        mapfile -t COMPREPLY < <(compgen -W "$options" -- "$word")
        return
    fi
    case $command in
    '') mapfile -t COMPREPLY < <(compgen -W "$commands" -- "$word") ;;
    help) mapfile -t COMPREPLY < <(compgen -W "$commands" -- "$word") ;;
    explain | watch) mapfile -t COMPREPLY < <(compgen -W "$(_highwayctl_names ports)" -- "$word") ;;
    show) mapfile -t COMPREPLY < <(compgen -W 'domain port links' -- "$word") ;;
    set)
        case $before in
        set) mapfile -t COMPREPLY < <(compgen -W 'port domain' -- "$word") ;;
        port | domain) ;;
        *) mapfile -t COMPREPLY < <(compgen -W 'bypass=on bypass=off guest=gone guest=paused guest=running' -- "$word") ;;
        esac
        ;;
    esac
}

complete -F _highwayctl highwayctl
