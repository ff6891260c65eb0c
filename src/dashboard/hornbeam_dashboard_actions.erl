%%% What a button of the dashboard does.
%%%
%%% Called by: hornbeam_dashboard_handler, once it knows that the form is of a page of its own. Calls: hornbeam_mounts, hornbeam_service_pools, hornbeam_pool.
-module(hornbeam_dashboard_actions).

-export([run/2]).

-include("hornbeam.hrl").

%% @doc Done: where the browser goes then, and what is logged.
-spec run(Form :: #{binary() => binary()}, Name :: atom()) -> {done, Back :: iodata(), Text :: iodata()} | unknown.
run(#{<<"action">> := Action, <<"kind">> := Kind, <<"place">> := Place, <<"worker">> := Worker}, Name)
        when Action =:= <<"replace">>; Action =:= <<"drain">> ->
    case {pool(Kind, Place, Name), string:to_integer(Worker)} of
        {{ok, Pool}, {Number, <<>>}} when is_integer(Number) ->
            Did = case hornbeam_pool:relieve(Pool, Number, binary_to_existing_atom(Action)) of
                ok -> Action;
                {error, _} -> <<"not_ready">>
            end,
            {done, ["/workers?did=", Did], io_lib:format("~ts worker ~b of ~ts: ~ts", [Action, Number, Place, Did])};
        _ ->
            unknown
    end;
run(_, _Name) ->
    unknown.

pool(Kind, Place, Name) ->
    Known = [{<<"mount">>, hornbeam_mounts:place(Mount), Pool} || #mount{pool = Pool} = Mount <- hornbeam_mounts:all(Name)]
        ++ [{<<"service">>, hornbeam_mounts:place(Mount), Pool} || #mount{pool = Pool} = Mount <- hornbeam_service_pools:all(Name)],
    case [Pool || {K, P, Pool} <- Known, K =:= Kind, P =:= Place] of
        [Pool] -> {ok, Pool};
        [] -> error
    end.
