%%% From what follows a folder's prefix in a request's path to the names of files below the folder.
%%%
%%% Called by: hornbeam_static. Calls: nothing. Pure.
%%%
%%% Decoded once, segment by segment, after the path was split at its slashes, so that nothing that decoding brings can be taken for a
%%% separator. Refused is each segment that is empty ("//"), "." or "..", begins with a dot, holds a slash, a backslash, NUL or another
%%% control character, is not UTF-8 (so no overlong forms), is longer than a name can be, or has a "%" that is none. What is refused is
%%% not a file of the folder; whether it is one of the application's paths is not decided here. Nothing is normalised: a path
%%% that needs it names nothing.
-module(hornbeam_static_path).

-export([resolve/2]).

%% NAME_MAX.
-define(LONGEST, 255).

%% @doc WellKnown: ".well-known" may be the first segment (RFC 8615). `folder': the path ends with a slash.
-spec resolve(Rest :: binary(), WellKnown :: boolean()) -> {ok, [Name :: binary()], file | folder} | refused.
resolve(<<>>, _WellKnown) -> {ok, [], file};
resolve(<<"/">>, _WellKnown) -> {ok, [], folder};
resolve(<<"/.well-known/", Rest/binary>>, true) -> segments(binary:split(Rest, <<"/">>, [global]), [<<".well-known">>]);
resolve(<<"/", Rest/binary>>, _WellKnown) -> segments(binary:split(Rest, <<"/">>, [global]), []);
resolve(_Other, _WellKnown) -> refused.

segments([<<>>], [_ | _] = Names) ->
    {ok, lists:reverse(Names), folder};
segments([Raw | Rest], Names) ->
    case name(Raw) of
        refused -> refused;
        Name -> segments(Rest, [Name | Names])
    end;
segments([], Names) ->
    {ok, lists:reverse(Names), file}.

name(Raw) ->
    case decode(Raw, <<>>, ascii) of
        <<C, _/binary>> = Name when C =/= $., byte_size(Name) =< ?LONGEST -> Name;
        _ -> refused
    end.

decode(<<$%, High, Low, Rest/binary>>, Name, Kind) ->
    case {digit(High), digit(Low)} of
        {H, L} when is_integer(H), is_integer(L) -> octet(H * 16 + L, Rest, Name, Kind);
        _ -> refused
    end;
decode(<<$%, _/binary>>, _Name, _Kind) -> refused;
decode(<<C, Rest/binary>>, Name, Kind) -> octet(C, Rest, Name, Kind);
decode(<<>>, Name, ascii) -> Name;
decode(<<>>, Name, other) ->
    case unicode:characters_to_binary(Name) of
        Name -> Name;
        _ -> refused
    end.

octet(C, _Rest, _Name, _Kind) when C < $\s; C =:= 127; C =:= $/; C =:= $\\ -> refused;
octet(C, Rest, Name, _Kind) when C > 127 -> decode(Rest, <<Name/binary, C>>, other);
octet(C, Rest, Name, Kind) -> decode(Rest, <<Name/binary, C>>, Kind).

digit(C) when C >= $0, C =< $9 -> C - $0;
digit(C) when C >= $a, C =< $f -> C - $a + 10;
digit(C) when C >= $A, C =< $F -> C - $A + 10;
digit(_) -> error.
