%%% Files that must be there when a server starts: the type of the options `certfile`, `keyfile` and `cacertfile`.
%%%
%%% Called through hornbeam_option_types, and by hornbeam_option_sni and hornbeam_option_env_file. Calls hornbeam_option_text.
-module(hornbeam_option_file).

-behaviour(hornbeam_option_types).

-export([check/1, anchor/2, format/1, describe/0]).

-spec check(term()) -> {ok, binary()} | hornbeam_option_types:problem().
check(Given) ->
    case hornbeam_option_text:to_text(Given) of
        {ok, <<_, _/binary>> = Path} -> {ok, Path};
        _ -> {error, ["must be ", describe()], Given}
    end.

-spec anchor(binary(), binary()) -> {ok, binary()} | hornbeam_option_types:problem().
anchor(Path, Base) ->
    Absolute = filename:absname(Path, Base),
    case filelib:is_regular(Absolute) of
        true -> {ok, Absolute};
        false -> {error, ["names a file that does not exist: ", Absolute]}
    end.

-spec format(binary()) -> binary().
format(Path) -> Path.

-spec describe() -> iodata().
describe() -> "a file".
