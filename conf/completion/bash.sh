_sendas()
{
    local line=${COMP_LINE:0:COMP_POINT} current='' next words before
    read -ra words <<<"$line"
    if [[ $line != *[[:space:]] ]]; then
        current=${words[-1]}
        unset 'words[-1]'
    fi
    next=$(_sendas_next "${words[@]/#\~\//"$HOME/"}" </dev/null | cut -f 1)
    COMPREPLY=()
    case $next in
        +file) compopt -o filenames && mapfile -t COMPREPLY < <(compgen -f -- "$current") ;;
        +directory) compopt -o filenames && mapfile -t COMPREPLY < <(compgen -d -- "$current") ;;
        *) mapfile -t COMPREPLY < <(compgen -W "$next" -- "$current") ;;
    esac
    # Readline replaces what follows the last of its word breaks only.
    before=${current%"${current##*[@=:]}"}
    if [[ -n $before && $COMP_WORDBREAKS == *"${before: -1}"* ]]; then
        COMPREPLY=("${COMPREPLY[@]#"$before"}")
    fi
}
complete -F _sendas sendas
