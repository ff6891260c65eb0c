%%% The lookup of mounts says what a walk over all of them says. Run by properties_tests.
-module(prop_hornbeam_mounts).

-include_lib("proper/include/proper.hrl").
-include("hornbeam.hrl").

-export([prop_lookup/0]).

-define(HOSTS, [any, <<"a.example.org">>, <<"b.example.org">>, <<"*.example.org">>, <<"example.org">>, <<"*.a.example.org">>]).
-define(PREFIXES, [<<>>, <<"/x">>, <<"/x/y">>, <<"/xy">>, <<"/x/y/z">>]).

-spec prop_lookup() -> proper:test().
prop_lookup() ->
    ?FORALL({Places, Requests}, {list({oneof(?HOSTS), oneof(?PREFIXES)}), non_empty(list(request()))},
        begin
            Mounts = [#mount{host = Host, prefix = Prefix, app = <<"a">>, pool = {?MODULE, Place}, settings = #{}}
                      || {Host, Prefix} = Place <- lists:usort(Places)],
            ok = hornbeam_mounts:publish(?MODULE, Mounts),
            Found = [hornbeam_mounts:find(?MODULE, written(Host, How), Path) || {Host, How, Path} <- Requests],
            ok = hornbeam_mounts:forget(?MODULE),
            equals(Found, [naive(Mounts, Host, Path) || {Host, _, Path} <- Requests])
        end).

request() ->
    {oneof([undefined, <<"a.example.org">>, <<"b.example.org">>, <<"c.a.example.org">>, <<"d.c.a.example.org">>, <<"example.org">>, <<"org">>]),
     oneof([plain, port, dot, upper]), oneof([<<"/">>, <<"*">>, <<"/x">>, <<"/x/">>, <<"/x/y/zz">>, <<"/x/y/z/">>, <<"/xy/z">>, <<"/xyz">>])}.

written(undefined, _) -> undefined;
written(Host, plain) -> Host;
written(Host, port) -> <<Host/binary, ":8443">>;
written(Host, dot) -> <<Host/binary, ".:80">>;
written(Host, upper) -> string:uppercase(Host).

naive(Mounts, Host, Path) ->
    Fitting = [{rank(Of), byte_size(Prefix), Mount} || #mount{host = Of, prefix = Prefix} = Mount <- Mounts, is_host(Of, Host), is_below(Prefix, Path)],
    case lists:sort(Fitting) of
        [] -> error;
        Sorted -> {ok, element(3, lists:last(Sorted))}
    end.

rank(any) -> 0;
rank(<<"*", _/binary>>) -> 1;
rank(_) -> 2.

is_host(any, _) -> true;
is_host(_, undefined) -> false;
is_host(<<"*.", Parent/binary>>, Host) -> tl(binary:split(Host, <<".">>)) =:= [Parent];
is_host(Of, Host) -> Of =:= Host.

is_below(<<>>, _) -> true;
is_below(Prefix, Path) -> lists:prefix(binary:split(Prefix, <<"/">>, [global]), binary:split(Path, <<"/">>, [global])).
