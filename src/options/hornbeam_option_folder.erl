%%% A folder that is made where it is not there: the type of the option `data_dir`.
%%%
%%% Called through hornbeam_option_types. Calls hornbeam_option_file, whose paths are the same.
-module(hornbeam_option_folder).

-behaviour(hornbeam_option_types).

-export([check/1, anchor/2, format/1, describe/0]).

-spec check(term()) -> {ok, binary()} | hornbeam_option_types:problem().
check(Given) ->
    case hornbeam_option_file:check(Given) of
        {ok, Path} -> {ok, Path};
        {error, _, _} -> {error, ["must be ", describe()], Given}
    end.

-spec anchor(binary(), binary()) -> {ok, binary()}.
anchor(Path, Base) -> {ok, filename:absname(Path, Base)}.

-spec format(binary()) -> binary().
format(Path) -> Path.

-spec describe() -> iodata().
describe() -> "a folder".
