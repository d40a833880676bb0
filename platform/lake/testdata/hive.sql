-- One statement per paragraph; "--> x,y" is its result as CSV without a header.
-- In the small data: 100 customers, 400 orders, 250 leads.

create schema hive.raw

create schema if not exists hive.placed with (location = 's3://datalake/elsewhere/placed.db')

create table hive.raw.customers with (format = 'PARQUET') as
select customer_id, email, region, segment, revenue, cast(created_at at time zone 'UTC' as timestamp(6)) as created_at from sales.public.customers

select count(*), count(distinct customer_id) from hive.raw.customers
--> 100,100

select count(*) from hive.raw.customers h join sales.public.customers s on h.customer_id = s.customer_id and h.revenue = s.revenue and h.created_at = cast(s.created_at at time zone 'UTC' as timestamp(6))
--> 100

insert into hive.raw.customers select customer_id + 100000, email, region, segment, revenue, created_at from hive.raw.customers where customer_id <= 10

select count(*) from hive.raw.customers
--> 110

create table hive.raw.orders with (format = 'PARQUET', partitioned_by = array['order_month']) as
select order_id, customer_id, total_amount, status, date_format(ordered_at, '%Y-%m') as order_month from sales.public.orders

select count(*), count(distinct order_month) > 3 from hive.raw.orders
--> 400,true

select (select count(*) from hive.raw."orders$partitions") = (select count(distinct order_month) from hive.raw.orders)
--> true

insert into hive.raw.orders values (999999, 1, 12.50, 'paid', '2099-01')

select order_id, total_amount from hive.raw.orders where order_month = '2099-01'
--> 999999,12.50

delete from hive.raw.orders where order_month = '2099-01'

select count(*) from hive.raw.orders where order_month = '2099-01'
--> 0

select (select sum(total_amount) from hive.raw.orders) = (select sum(total_amount) from sales.public.orders)
--> true

analyze hive.raw.orders

select count(*) > 0 from hive.raw.customers where created_at < timestamp '2100-01-01 00:00:00.000001'
--> true

create or replace view hive.raw.by_region as
select region, count(*) as n, sum(total_amount) as amount from hive.raw.customers join hive.raw.orders using (customer_id) group by 1

select sum(n) from hive.raw.by_region
--> 400

create or replace view hive.raw.federated as
select count(*) as n from sales.public.customers s join marketing.public.leads m on s.email = m.email

select n = (select count(*) from sales.public.customers s join marketing.public.leads m on s.email = m.email) from hive.raw.federated
--> true

create table hive.raw.handed_in (a varchar, b varchar) with (format = 'CSV', external_location = 's3://datalake/handed-in/')

insert into hive.raw.handed_in values ('x', 'y')

select a, b from hive.raw.handed_in
--> x,y

create table hive.placed.t as select 1 as n

select regexp_like("$path", '^s3://datalake/elsewhere/placed.db/') from hive.placed.t
--> true

alter table hive.raw.customers rename to hive.raw.people

select count(*) from hive.raw.people
--> 110

select count(*) from hive.information_schema.tables where table_schema = 'raw'
--> 5

drop table hive.placed.t

drop schema hive.placed

drop view hive.raw.federated

drop view hive.raw.by_region

drop table hive.raw.handed_in

drop table hive.raw.people

drop table hive.raw.orders

drop schema hive.raw
