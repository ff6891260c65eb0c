%%% Properties of the pure parts of src/static: no path names what is not below its folder, no ranges are more than their file.
-module(prop_hornbeam_static).

-include_lib("proper/include/proper.hrl").

prop_names_stay_below() ->
    ?FORALL(Path, path(), is_below(hornbeam_static_path:resolve(Path, true))).

path() ->
    ?LET(Parts, list(oneof([<<"/">>, <<".">>, <<"..">>, <<"%2e">>, <<"%2f">>, <<"%5c">>, <<"\\">>, <<"%00">>, <<"%">>, <<"a">>, <<";">>, <<"%c0%ae">>,
                            <<".well-known">>, binary(2)])), iolist_to_binary([$/ | Parts])).

is_below(refused) -> true;
is_below({ok, Names, _}) ->
    lists:all(fun(Name) ->
                  binary:match(Name, [<<"/">>, <<"\\">>, <<0>>]) =:= nomatch andalso Name =/= <<>>
                      andalso (binary:first(Name) =/= $. orelse Name =:= <<".well-known">>)
              end, Names).

prop_ranges_are_within() ->
    ?FORALL({Specs, Size}, {non_empty(list(spec())), integer(0, 110)}, is_within(Specs, Size)).

spec() ->
    ?LET({Kind, A, B}, {integer(0, 2), integer(0, 120), integer(0, 120)},
         case Kind of 0 -> [integer_to_list(A), $-]; 1 -> [$-, integer_to_list(A)]; 2 -> [integer_to_list(A), $-, integer_to_list(B)] end).

is_within(Specs, Size) ->
    case hornbeam_static_ranges:select(iolist_to_binary(["bytes=", lists:join($,, Specs)]), Size) of
        Ranges when is_list(Ranges) ->
            lists:all(fun({Offset, Part}) -> Part > 0 andalso Offset + Part =< Size end, Ranges)
                andalso lists:sum([Part || {_, Part} <- Ranges]) =< Size;
        _ -> true
    end.
